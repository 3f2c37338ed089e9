import type { Pool, PoolClient } from 'pg';
import type { Clock } from '../clock.js';
import { MAILBOX } from '../config/notices.js';
import { inTransaction } from '../recording/transaction.js';
import { uuid7 } from '../recording/uuid7.js';
import type { ChannelName } from './channel.js';

/** Which channels there are, and what goes to each. */
export type Routes = ReadonlyMap<ChannelName, readonly string[]>;

interface NewNotice {
  readonly id: string;
  readonly kind: string;
  readonly people: readonly string[];
  readonly to_group: string | null;
  readonly channels: boolean;
}

interface Delivery {
  readonly channel: ChannelName;
  readonly recipient: string;
  /** Why it cannot be made. */
  readonly error: string | null;
}

const BATCH = 50;

const NEW = `
  select id, kind, people, to_group, channels from notices where spread_at is null order by id limit ${BATCH}
  for update skip locked`;

/** Nobody whose account is closed: whoever has left is told nothing of what they answered for. Who has none here is. */
const PEOPLE = `
  select asked.subject, p.email from unnest($1::text[]) as asked(subject) left join people p on p.subject = asked.subject
  where p.closed_at is null
  union
  select subject, email from people where $2::text = any(groups) and closed_at is null and (ends_at is null or ends_at > $3)`;

const DELIVER = `
  insert into deliveries (id, notice, channel, recipient, state, due_at, ended_at, error)
  values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (notice, channel, recipient) do nothing`;

/**
 * Finds out who gets what is new in the outbox, and makes a delivery for each. Several gateways may do it at once.
 * @returns how many notices
 */
export function spread(pool: Pool, routes: Routes, clock: Pick<Clock, 'wall'>): Promise<number> {
  return inTransaction(pool, async (client) => {
    const now = clock.wall();
    const { rows } = await client.query<NewNotice>(NEW);
    for (const notice of rows) {
      for (const delivery of await deliveriesOf(client, notice, routes, now))
        await deliver(client, notice, delivery, now);
      await client.query('update notices set spread_at = $2 where id = $1', [notice.id, new Date(now)]);
    }
    return rows.length;
  });
}

async function deliveriesOf(client: PoolClient, notice: NewNotice, routes: Routes, now: number): Promise<Delivery[]> {
  const takes = (channel: ChannelName) => routes.get(channel)?.includes(notice.kind) === true;
  const shared = notice.channels ? (['slack', 'webhook'] as const).filter(takes) : [];
  const to = shared.map((channel): Delivery => ({ channel, recipient: '', error: null }));
  return takes('smtp') ? [...to, ...(await mails(client, notice, now))] : to;
}

async function mails(client: PoolClient, { people, to_group }: NewNotice, now: number): Promise<Delivery[]> {
  const asked = [people, to_group, new Date(now)];
  const { rows } = await client.query<{ subject: string; email: string | null }>(PEOPLE, asked);
  const found = rows.map(({ subject, email }): Delivery => {
    const address = [email, subject].find((one) => one !== null && MAILBOX.test(one));
    if (address !== undefined && address !== null) return { channel: 'smtp', recipient: address, error: null };
    return { channel: 'smtp', recipient: subject, error: 'no e-mail address is known' };
  });
  return [...new Map(found.map((one) => [one.recipient, one])).values()];
}

async function deliver(client: PoolClient, { id }: NewNotice, { channel, recipient, error }: Delivery, now: number) {
  const at = new Date(now);
  const ended = error === null ? null : at;
  await client.query(DELIVER, [
    uuid7(now),
    id,
    channel,
    recipient,
    error === null ? 'waiting' : 'failed',
    at,
    ended,
    error,
  ]);
}
