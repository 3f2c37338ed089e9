import { once } from 'node:events';
import { createServer } from 'node:net';
import { type Address, isLoopback, parseAddress } from '../config/address.js';
import { DaypassError } from '../errors.js';

/** Where a sample listens: told by the environment and then fixed, or wished for. */
export interface Place extends Address {
  readonly fixed: boolean;
}

/**
 * Where a sample upstream shall listen: where the environment says; else where it listened last time; else the default.
 * @param remembered the address of the last start, if any
 * @throws DaypassError `samples_address` for one that is no loopback address: the samples are not for a network
 */
export function placeOf(name: string, told: string | undefined, remembered: string | undefined, port: number): Place {
  if (told === undefined || told === '') {
    const kept = remembered === undefined ? undefined : parseAddress(remembered);
    return { host: '127.0.0.1', port: kept?.port ?? port, fixed: false };
  }
  const address = parseAddress(told);
  if (address && isLoopback(address.host)) return { ...address, fixed: true };
  throw new DaypassError('samples_address', `${name}=${told} is not a loopback address`, {
    hint: `Write ${name}=127.0.0.1:<port>.`,
  });
}

/** The wished port when it is free or fixed, else any free one. */
export async function portFor(place: Place): Promise<number> {
  if (place.fixed) return place.port;
  return (await tried(place.host, place.port)) ?? (await tried(place.host, 0)) ?? place.port;
}

async function tried(host: string, port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
    const address = server.address();
    return address === null || typeof address === 'string' ? undefined : address.port;
  } catch {
    return undefined;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
