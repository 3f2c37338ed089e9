import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import type { GatewayProcess } from '../support/gateway-process.js';
import { waitUntil } from '../support/wait.js';
import type { Checker } from './checker.js';
import { type Client, type DatabaseWork, database, requests, streaming, webSocket } from './clients.js';
import type { Grant, Ground } from './ground.js';

/** The one workload of these tests, every client under way: statements, rows, a long query, requests, a stream, WebSockets. */
export interface Workload {
  readonly db: Grant;
  readonly web: Grant;
  /** Those that do something all the time. */
  readonly busy: readonly Client[];
  /** Those that are only connected, or wait, or are given something. */
  readonly still: readonly Client[];
  /** All but the one that asks on after a refusal: they end with their grant. */
  readonly lasting: readonly Client[];
  /** Those that are left go. */
  leave(): Promise<void>;
}

/**
 * Comes again as long as the gateway says that it cannot check just now: on a machine that does much else its limits for an
 * answer are passed also without a fault.
 */
export async function patient(checker: Checker, connecting: () => Promise<Client>): Promise<Client> {
  for (;;) {
    try {
      const [client] = checker.follow(await connecting());
      return client;
    } catch (thrown) {
      const { code } = thrown as Error & { code?: string };
      if (code !== '57P03' && code !== '503') throw thrown;
      await pause(100);
    }
  }
}

/**
 * The refusal of somebody whose grant was really looked at: as long as the gateway says that it cannot check just now, it is
 * asked again. Null when somebody was let in.
 */
export async function checked(checker: Checker, who: string, connecting: () => Promise<Client>) {
  for (;;) {
    const refused = await checker.refused(who, connecting());
    if (refused?.code !== '57P03') return refused;
    await pause(100);
  }
}

/** Starts it on a gateway, with grants of its own. */
export async function workload(
  t: Test,
  ground: Ground,
  checker: Checker,
  gateway: GatewayProcess = ground.gateway,
  duration = '10m',
): Promise<Workload> {
  const [dbGrant, webGrant] = await Promise.all([
    ground.issue('orders-db', duration),
    ground.issue('orders-web', duration),
  ]);
  const db = (work: DatabaseWork) => patient(checker, () => database(t, gateway, dbGrant, work));
  const socket = (path: '/live' | '/ticks') => patient(checker, () => webSocket(t, gateway, webGrant, path));
  const busy = [await db('statements'), await socket('/live'), ...checker.follow(requests(gateway, webGrant))];
  const still = [
    await db('rows'),
    await db('long'),
    await db('idle'),
    await socket('/ticks'),
    ...checker.follow(streaming(gateway, webGrant)),
  ];
  const underWay = () =>
    busy.every(({ answered }) => answered.size >= 3) && still.every(({ lastByte }) => lastByte > 0);
  await waitUntil('the whole workload is under way', underWay);
  const all = [...busy, ...still];
  const lasting = all.filter(({ name }) => !/requests/.test(name));
  const leave = async () => void (await Promise.all(all.map((client) => client.leave())));
  return { db: dbGrant, web: webGrant, busy, still, lasting, leave };
}

/** Resolves when each of these has been answered once more. */
export async function goesOn(clients: readonly Client[]): Promise<void> {
  const had = clients.map(({ answered }) => answered.size);
  await waitUntil('each is answered once more', () =>
    clients.every(({ answered }, i) => answered.size > (had[i] ?? 0)),
  );
}

/** Resolves when somebody is let in again and answered; refusals until then are kept by the checker. */
export async function letsIn(t: Test, ground: Ground, checker: Checker, gateway = ground.gateway): Promise<void> {
  for (;;) {
    const grant = await ground.issue('orders-db').catch(() => null); // the ledger or the store is not back yet
    if (grant === null) await pause(50);
    else if ((await checker.refused('a newcomer', database(t, gateway, grant, 'idle'))) === null) return;
  }
}
