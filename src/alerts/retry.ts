import type { Pool, PoolClient } from 'pg';
import { appendAudit } from '../audit/append.js';
import type { Clock } from '../clock.js';
import { MAILBOX } from '../config/notices.js';
import { DaypassError } from '../errors.js';
import type { Actor } from '../identity/actor.js';
import { inTransaction } from '../recording/transaction.js';

/** Which deliveries that were given up are tried anew: one, or all of a channel. */
export type Retried = { readonly delivery: string } | { readonly channel: string };

/** What came of it. */
export interface RetriedDeliveries {
  /** How many are in the outbox again. */
  readonly retried: number;
  /** Of how many of these nobody knows whether they arrived: they may arrive twice, with the same id. */
  readonly unsure: number;
  /** How many stay as they are: nobody to write to, or another delivery of the same notice has that address. */
  readonly skipped: number;
  /** Whether there are more: so many were looked at as are at once. */
  readonly more: boolean;
}

interface Failed {
  readonly id: string;
  readonly notice: string;
  readonly channel: string;
  readonly recipient: string;
  readonly state: string;
}

const MOST = 1_000;

const ONE = 'select id, notice, channel, recipient, state from deliveries where id = $1 for update';
const ALL = `
  select id, notice, channel, recipient, state from deliveries where channel = $1 and state = 'failed'
  order by id limit ${MOST} for update`;

const KNOWN = `
  select subject, email, closed_at is not null as left from people where subject = any($1) or email = any($1)`;

/**
 * From now on it is tried for as long as a new one. `attempts` goes on: by it a courier that comes back late knows a lease that is
 * no longer its own. So does `unsure`: what may have arrived may have, however often it is sent.
 */
const AGAIN = `
  update deliveries d set state = 'waiting', recipient = given.recipient, first_at = null, due_at = $3, ended_at = null
  from unnest($1::uuid[], $2::text[]) as given(id, recipient)
  where d.id = given.id and not exists (select from deliveries o
    where o.notice = d.notice and o.channel = d.channel and o.recipient = given.recipient and o.id <> d.id)
  returning d.unsure and d.attempts > 0 as unsure`;

/**
 * Puts deliveries that were given up back into the outbox, with its line in the audit log. Whoever had no address, and has one
 * now, is written to there; whoever has left meanwhile is not.
 * @param channels - the names of those that there are
 * @throws DaypassError `unknown_delivery`, `not_failed`, `no_address`, `unknown_channel`
 */
export function retryDeliveries(
  pool: Pool,
  channels: readonly string[],
  { subject, via }: Actor,
  which: Retried,
  clock: Pick<Clock, 'wall'>,
): Promise<RetriedDeliveries> {
  return inTransaction(pool, async (client) => {
    const failed =
      'delivery' in which ? [await failedOne(client, which.delivery)] : await failedOf(client, which.channel);
    const channel = 'delivery' in which ? (failed[0]?.channel ?? '') : which.channel;
    checkConfigured(channels, channel);
    const again = await addressed(client, channel, failed);
    if ('delivery' in which && again.length === 0) throw noAddress(failed[0]?.recipient ?? '');
    const done = await putBack(client, again, clock.wall());
    if ('delivery' in which && done.retried === 0) throw taken();
    const told = { ...done, skipped: failed.length - done.retried, more: 'channel' in which && failed.length === MOST };
    await appendAudit(client, {
      ...{ actor: subject, via, act: 'notices.retry', target: targetOf(which), reason: null, result: 'done' },
      detail: { channel, retried: told.retried, unsure: told.unsure, skipped: told.skipped },
    });
    return told;
  });
}

/** As the audit log names it. */
export function targetOf(which: Retried): string {
  return 'delivery' in which ? `delivery:${which.delivery}` : `channel:${which.channel}`;
}

/** @throws DaypassError `unknown_channel` */
export function checkConfigured(channels: readonly string[], name: string): void {
  if (channels.includes(name)) return;
  const hint = `There are: ${channels.join(', ') || 'none'}. Channels stand in daypass.yaml under notices:.`;
  throw new DaypassError('unknown_channel', `There is no channel ${JSON.stringify(name.slice(0, 64))}.`, { hint });
}

async function failedOne(client: PoolClient, id: string): Promise<Failed> {
  const [found] = (await client.query<Failed>(ONE, [id])).rows;
  if (found === undefined) throw new DaypassError('unknown_delivery', 'There is no such delivery.');
  if (found.state === 'failed') return found;
  const words = found.state === 'sent' ? 'has arrived' : 'still waits, and is tried by itself';
  throw new DaypassError('not_failed', `This delivery ${words}.`, { hint: 'Only what was given up is sent by hand.' });
}

async function failedOf(client: PoolClient, channel: string): Promise<readonly Failed[]> {
  return (await client.query<Failed>(ALL, [channel])).rows;
}

interface Known {
  readonly subject: string;
  readonly email: string | null;
  readonly left: boolean;
}

/** Those that there is somebody for, each with where it goes; one of a notice to each address. */
async function addressed(client: PoolClient, channel: string, failed: readonly Failed[]): Promise<readonly Failed[]> {
  if (channel !== 'smtp') return failed;
  const { rows } = await client.query<Known>(KNOWN, [failed.map(({ recipient }) => recipient)]);
  const found = failed.flatMap((one) => {
    const address = addressOf(one.recipient, rows);
    return address === null ? [] : [[`${one.notice} ${address}`, { ...one, recipient: address }] as const];
  });
  return [...new Map(found).values()];
}

/** @returns null when there is none, or whoever has it has left */
function addressOf(recipient: string, people: readonly Known[]): string | null {
  const those = people.filter(({ subject, email }) => subject === recipient || email === recipient);
  if (those.length > 0 && those.every(({ left }) => left)) return null;
  const addresses = [recipient, ...those.flatMap(({ email, left }) => (email === null || left ? [] : [email]))];
  return addresses.find((one) => MAILBOX.test(one)) ?? null;
}

function noAddress(recipient: string): DaypassError {
  const message = `No e-mail address is known of ${JSON.stringify(recipient)}, or whoever has it has left.`;
  return new DaypassError('no_address', message, { hint: 'Send it again once the account has an address.' });
}

function taken(): DaypassError {
  return new DaypassError('not_failed', 'Another delivery of the same notice goes to this address already.');
}

async function putBack(client: PoolClient, again: readonly Failed[], now: number) {
  const [ids, recipients] = [again.map(({ id }) => id), again.map(({ recipient }) => recipient)];
  const { rows } = await client.query<{ unsure: boolean }>(AGAIN, [ids, recipients, new Date(now)]);
  return { retried: rows.length, unsure: rows.filter(({ unsure }) => unsure).length };
}
