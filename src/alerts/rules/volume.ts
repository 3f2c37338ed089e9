import type { PoolClient } from 'pg';
import type { AlertSettings } from '../../config/alerts.js';
import type { Alert } from '../../recording/alerts.js';
import { type EventRule, MOST, Remembered, type Watched } from './rule.js';

/** What one session was given, and from where on the ledger is asked about it. */
interface Given {
  rows: number;
  bytes: number;
  askRows: number;
  askBytes: number;
}

/** The median of a person's last sessions at a service; one that is refused is none. */
const USUAL = `
  select coalesce(percentile_disc(0.5) within group (order by x.rows), 0)::float8 as rows,
    coalesce(percentile_disc(0.5) within group (order by x.bytes), 0)::float8 as bytes, count(*)::int as sessions
  from (select coalesce(sum(i.rows), 0) as rows, coalesce(sum(i.bytes_out), 0) as bytes
    from (select id from sessions where principal = $1 and service = $2 and id <> $3 and ended_at is not null
        and end_reason is distinct from 'refused' order by started_at desc limit 50) s
      left join block_index i on i.session_id = s.id group by s.id) x`;

/**
 * Far more rows or bytes than the person's sessions at the service usually get. The ledger is asked when a session passes the
 * floor, and each time it has doubled since: a handful of times for the largest.
 */
export function volume(settings: AlertSettings['volume']): EventRule {
  const sessions = new Remembered<Given>(MOST);
  return (watched, { kind, facts, at }) => {
    if (kind === 'close') {
      sessions.delete(watched.session);
      return null;
    }
    const [rows, bytes] = [facts.rows ?? 0, facts.bytesOut ?? 0];
    if (!(rows > 0 || bytes > 0)) return null;
    const given = sessions.get(watched.session) ?? begun(settings);
    if (given.rows + given.bytes === 0) sessions.set(watched.session, given);
    given.rows += rows;
    given.bytes += bytes;
    if (given.rows < given.askRows && given.bytes < given.askBytes) return null;
    while (given.askRows <= given.rows) given.askRows *= 2;
    while (given.askBytes <= given.bytes) given.askBytes *= 2;
    const seen = { ...given };
    const look = (client: PoolClient) => volumeOf(client, settings, watched, seen, at);
    return { key: `volume ${watched.session}`, look };
  };
}

function begun({ rows, bytes }: AlertSettings['volume']): Given {
  return { rows: 0, bytes: 0, askRows: rows, askBytes: bytes };
}

/** Holds what a session was given against what is usual. @returns null where it is not far more */
export async function volumeOf(
  client: PoolClient,
  settings: AlertSettings['volume'],
  { principal, service, grant, session }: Watched,
  given: Pick<Given, 'rows' | 'bytes'>,
  at: number,
): Promise<Alert | null> {
  const asked = await client.query<{ rows: number; bytes: number; sessions: number }>(USUAL, [
    ...[principal, service, session],
  ]);
  const usual = asked.rows[0] ?? { rows: 0, bytes: 0, sessions: 0 };
  const far = (what: 'rows' | 'bytes') => given[what] >= Math.max(settings[what], settings.times * usual[what]);
  if (!far('rows') && !far('bytes')) return null;
  const detail = {
    ...{ rows: given.rows, bytes: given.bytes },
    ...{ usualRows: usual.rows, usualBytes: usual.bytes, earlierSessions: usual.sessions },
  };
  return { kind: 'volume', subject: `person:${principal} ${service}`, principal, service, grant, session, detail, at };
}
