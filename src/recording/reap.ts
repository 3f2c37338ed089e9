import type { Pool, PoolClient } from 'pg';
import { packBlock } from './block.js';
import { genesis } from './chain.js';
import type { RecordedEvent } from './event.js';
import { closingFacts } from './row-facts.js';
import { inTransaction } from './transaction.js';
import { blockColumns, readHeads, WRITE_BLOCKS } from './writer.js';

/** A gateway unseen for so long has lost its sessions, seconds. */
export const UNSEEN_SECONDS = 45;
/** Of a row of `gateways`: it was seen last so far from now, `$1` seconds either way. */
export const UNSEEN = 'abs(extract(epoch from now() - seen_at)) > $1';
const A_TIME = 100;

interface Lost {
  readonly id: string;
  readonly gatewayId: string;
  readonly seenAt: Date | null;
  readonly lastSeq: number;
  readonly hash: Buffer;
}

/**
 * Sessions whose gateway is not there; never the reaper's own, whatever its row says. Seen last at a time that is still to come it was before the
 * ledger's clock was set back: whoever lives was seen since. Where the reaper itself was seen last so far from now, it is the clock that was set, just
 * now. The lock keeps two reapers apart; whoever comes second finds nothing.
 */
const FIND = `
  select s.id, s.gateway_id, g.seen_at
  from sessions s left join gateways g on g.id = s.gateway_id
  where s.ended_at is null and s.gateway_id::text <> $2 and (g.id is null or ${UNSEEN})
    and not exists (select from gateways where id::text = $2 and ${UNSEEN})
  order by s.id limit ${A_TIME} for update of s skip locked`;

/**
 * A gateway that lives after all, and is writing just now, has its blocks before its rows: each would wait for the other until the server ends one of
 * them. It is the reaper who gives way, before the server looks (1 s), and comes again.
 */
const GIVE_WAY = `set local lock_timeout = '200ms'`;

const WRITE = `${WRITE_BLOCKS} returning session_id as id`;

const CLOSE = `
  update sessions s set ended_at = $5, end_reason = 'interrupted', last_seq = given.last_seq, last_hash = given.hash
  from unnest($1::uuid[], $2::bigint[], $3::bytea[]) as given(id, last_seq, hash)
  where s.id = given.id and s.id = any($4::uuid[])`;

/**
 * Closes the sessions of gateways that died: a gap and a close continue each chain, and the row says `interrupted`.
 * Any gateway may do it, several at once. Should the lost gateway only have slept and write just now, one of the two
 * blocks is refused by its key: here the session is then left as it is, and there the writer continues behind our block.
 * After an outage of the ledger nobody has been seen for a while: `Presence` asks for this only when it is over long enough.
 * @param by - the id of the gateway that reaps
 * @param now - milliseconds since the epoch
 * @param unseen - seconds
 * @returns the sessions that were closed
 */
export async function reapSessions(
  pool: Pool,
  by: string,
  now: number,
  unseen: number = UNSEEN_SECONDS,
): Promise<readonly string[]> {
  const closed: string[] = [];
  for (;;) {
    const some = await inTransaction(pool, (client) => reapSome(client, by, now, unseen));
    closed.push(...some.closed);
    // A refused block's session would be found again at once: it is left for the next time.
    if (some.found < A_TIME || some.closed.length === 0) return closed;
  }
}

async function reapSome(
  client: PoolClient,
  by: string,
  now: number,
  unseen: number,
): Promise<{ found: number; closed: string[] }> {
  await client.query(GIVE_WAY);
  const lost = await findLost(client, by, unseen);
  if (lost.length === 0) return { found: 0, closed: [] };
  const blocks = lost.map((session) => packBlock(session.id, session.hash, lastEvents(session, by, now)));
  const { rows } = await client.query<{ id: string }>(WRITE, blockColumns(blocks));
  const closed = rows.map(({ id }) => id);
  await client.query(CLOSE, [
    blocks.map((block) => block.sessionId),
    blocks.map((block) => block.lastSeq),
    blocks.map((block) => block.hashAfter),
    closed,
    new Date(now),
  ]);
  return { found: lost.length, closed };
}

async function findLost(client: PoolClient, by: string, unseen: number): Promise<Lost[]> {
  const found = await client.query<{ id: string; gateway_id: string; seen_at: Date | null }>(FIND, [unseen, by]);
  const headOf = await readHeads(
    client,
    found.rows.map(({ id }) => id),
  );
  return found.rows.map((row) => {
    const head = headOf.get(row.id);
    return {
      id: row.id,
      gatewayId: row.gateway_id,
      seenAt: row.seen_at,
      lastSeq: head?.lastSeq ?? 0,
      hash: head?.hash ?? genesis(row.id),
    };
  });
}

function lastEvents({ gatewayId, seenAt, lastSeq }: Lost, by: string, now: number): RecordedEvent[] {
  const lastSeen = seenAt?.toISOString() ?? null;
  const gap = { about: 'gateway_lost', gateway: gatewayId, lastSeen, closedBy: by };
  const end = closingFacts({ reason: 'interrupted', endedAt: now, dueAt: null, cutAt: null, bytesAfterDue: null });
  return [
    { seq: lastSeq + 1, at: now, kind: 'gap', facts: gap, payload: null },
    { seq: lastSeq + 2, at: now, kind: 'close', facts: end, payload: null },
  ];
}
