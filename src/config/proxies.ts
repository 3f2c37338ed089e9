import { BlockList, isIPv4, isIPv6, SocketAddress } from 'node:net';
import { z } from 'zod';
import { hinted } from './values.js';

/** Where a listed proxy says who is behind it. */
export type ClientSource = 'x-forwarded-for' | 'forwarded' | 'proxy-protocol';

/** The proxies that are believed, and how they tell: `proxies:` of `daypass.yaml`. */
export interface ProxySettings {
  readonly http?: HttpProxies | undefined;
  /** Databases have no headers: theirs speak the PROXY protocol. */
  readonly postgres?: { readonly from: ListedProxies } | undefined;
}

export interface HttpProxies {
  readonly from: ListedProxies;
  readonly client: ClientSource;
}

/** Networks whose machines are believed. */
export class ListedProxies {
  readonly #networks = new BlockList();

  /** @param networks - as `networkSchema` takes them */
  constructor(networks: readonly string[]) {
    for (const text of networks) {
      const network = readNetwork(text);
      if (network === undefined) throw new TypeError(`not a network: ${text}`);
      this.#networks.addSubnet(network.address, network.prefix, network.family);
    }
  }

  /** @param address - as a socket tells it */
  has(address: string): boolean {
    const plain = plainAddress(withoutZone(address));
    return plain !== null && this.#networks.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6');
  }
}

/** The one spelling of an address; an IPv4 address within IPv6 is the IPv4 one. @returns null for what is none */
export function plainAddress(text: string): string | null {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes('%')) return null;
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
}

function withoutZone(address: string): string {
  return address.split('%')[0] ?? '';
}

interface Network {
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`. What would list everybody is no network here. */
function readNetwork(text: string): Network | undefined {
  const [address = '', length, ...more] = text.split('/');
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  const longest = family === 'ipv4' ? 32 : 128;
  const prefix = length === undefined ? longest : Number(length);
  if (more.length > 0 || plainAddress(address) === null || !/^[1-9]\d{0,2}$/.test(length ?? '1')) return undefined;
  // An IPv4 network within IPv6 would not be found again: addresses are compared in their one spelling.
  if (prefix > longest || (family === 'ipv6' && isIPv4(plainAddress(address) ?? ''))) return undefined;
  return { address, prefix, family };
}

const NETWORK_PROBLEM = hinted(
  'not a network of proxies',
  '10.1.0.0/24, 192.0.2.7 or 2001:db8:1::/64; never all addresses',
);

const from = z
  .array(z.string().refine((text) => readNetwork(text) !== undefined, NETWORK_PROBLEM))
  .min(1)
  .max(64)
  .transform((networks) => new ListedProxies(networks));

/** `proxies:` of `daypass.yaml`. */
export const proxiesSchema = z.strictObject({
  http: z
    .strictObject({
      from,
      client: z.enum(
        ['x-forwarded-for', 'forwarded', 'proxy-protocol'],
        hinted('not how a proxy tells who its client is', 'x-forwarded-for, forwarded or proxy-protocol'),
      ),
    })
    .optional(),
  postgres: z.strictObject({ from }).optional(),
});
