import type { PoolClient } from 'pg';
import { limitsOf } from './closeout-limits.js';
import type { CloseOutRecord } from './closeout-record.js';

type Row = Readonly<Record<string, unknown>>;
type Request = CloseOutRecord['request'];
type Grant = CloseOutRecord['grants'][number];

/** Reads the parts of an engagement but its sessions. The client is in a transaction whose queries see one moment. */
export async function readRequest(client: PoolClient, id: string): Promise<Request | null> {
  const { rows } = await client.query<Row>(
    'select r.*, p.kind as account from access_requests r join people p on p.subject = r.principal where r.id = $1',
    [id],
  );
  const row = rows[0];
  if (row === undefined) return null;
  const whole = (name: string) => Number(row[name]);
  return {
    id,
    ...{ principal: text(row.principal), service: text(row.service), role: text(row.role), task: text(row.task) },
    ...{ kind: text(row.kind), startsAt: time(row.starts_at), endsAt: time(row.ends_at), seconds: whole('seconds') },
    ...{ clock: text(row.clock), hours: textOrNone(row.hours), sponsor: textOrNone(row.sponsor) },
    ...{ nda: textOrNone(row.nda), lane: text(row.lane), owner: text(row.owner) },
    ...{ policyVersion: text(row.policy_version), needed: whole('needed'), state: text(row.state) },
    ...{ createdAt: time(row.created_at), decideBy: time(row.decide_by), decidedAt: timeOrNone(row.decided_at) },
    allowedRole: textOrNone(row.allowed_role),
    allowedSeconds: numberOrNone(row.allowed_seconds),
    allowedOnly: textsOrNone(row.allowed_only),
    ...{ activatedAt: timeOrNone(row.activated_at), overAt: timeOrNone(row.over_at) },
    ...{ reviewDue: timeOrNone(row.review_due), reviewedAt: timeOrNone(row.reviewed_at) },
    ...{ reviewedBy: textOrNone(row.reviewed_by), review: textOrNone(row.review) },
    account: row.account === 'employee' ? 'employee' : 'contractor',
  };
}

export async function readApprovals(client: PoolClient, id: string): Promise<CloseOutRecord['approvals']> {
  const { rows } = await client.query<Row>('select * from approvals where request_id = $1 order by seq', [id]);
  return rows.map((row) => ({
    ...{ approver: text(row.approver), outcome: text(row.outcome), at: time(row.at), comment: text(row.comment) },
    ...{ owner: text(row.owner), role: textOrNone(row.role), seconds: numberOrNone(row.seconds) },
    only: textsOrNone(row.only_rules),
  }));
}

export async function readActs(client: PoolClient, id: string): Promise<CloseOutRecord['acts']> {
  const { rows } = await client.query<Row>('select * from request_acts where request_id = $1 order by seq', [id]);
  return rows.map((row) => ({
    ...{ act: text(row.act), at: time(row.at), by: text(row.by), reason: text(row.reason) },
    detail: object(row.detail),
  }));
}

export async function readNda(client: PoolClient, { id, nda }: Request): Promise<CloseOutRecord['nda']> {
  if (nda === null) return null;
  const { rows } = await client.query<Row>(
    `select n.*, n.signed_on::text as signed, n.valid_until::text as until, a.principal as by, a.at as acknowledged,
       a.text_hash as acknowledged_hash
     from ndas n left join nda_acknowledgements a on a.nda = n.id and a.request_id = $2 where n.id = $1`,
    [nda, id],
  );
  const row = rows[0];
  if (row === undefined) return null;
  return {
    id: nda,
    ...{ party: text(row.party), title: text(row.title), textSha256: hex(row.text_hash) },
    ...{ signedOn: text(row.signed), validUntil: text(row.until) },
    ...{ registeredAt: time(row.registered_at), registeredBy: text(row.registered_by) },
    ...{ endedAt: timeOrNone(row.ended_at), endedBy: textOrNone(row.ended_by) },
    acknowledged:
      row.by === null ? null : { by: text(row.by), at: time(row.acknowledged), textSha256: hex(row.acknowledged_hash) },
  };
}

/**
 * The grants of a request: the newest, those its acts name, and those whose token names the request. Whoever could add a row
 * to the ledger cannot add a grant here: its token would have to be signed, and verifying looks at it. A clock may have been set
 * back between asking and activating.
 */
export async function readGrants(client: PoolClient, { id, principal, service, createdAt }: Request): Promise<Grant[]> {
  const { rows } = await client.query<Row>(
    `select * from (
       select g.*, g.id = (select grant_id from access_requests where id = $1) or exists (
         select from request_acts a where a.request_id = $1 and a.detail->>'grant' = g.id) as known
       from grants g where g.principal = $2 and g.service = $3) one
     where known or issued_at >= $4::timestamptz - interval '1 hour' order by issued_at, id`,
    [id, principal, service, createdAt],
  );
  const ours = rows.filter((row) => row.known === true || requestOf(text(row.token)) === id);
  const acts = await readGrantActs(
    client,
    ours.map((row) => text(row.id)),
  );
  return ours.map((row) => ({
    id: text(row.id),
    ...{ service: text(row.service), principal: text(row.principal), role: text(row.role), sponsor: text(row.sponsor) },
    ...{ issuedAt: time(row.issued_at), notBefore: time(row.not_before), expiresAt: time(row.expires_at) },
    ...{ renewals: Number(row.renewals), revokedAt: timeOrNone(row.revoked_at) },
    suspendedAt: timeOrNone(row.suspended_at),
    token: text(row.token),
    acts: acts.get(text(row.id)) ?? [],
  }));
}

async function readGrantActs(client: PoolClient, ids: readonly string[]): Promise<Map<string, Grant['acts']>> {
  const { rows } = await client.query<Row>('select * from grant_acts where grant_id = any($1) order by seq', [ids]);
  const acts = new Map<string, Grant['acts']>();
  for (const row of rows) {
    const act = { act: text(row.act), at: time(row.at), by: text(row.by), reason: text(row.reason) };
    const of = acts.get(text(row.grant_id)) ?? [];
    acts.set(text(row.grant_id), [...of, { ...act, token: textOrNone(row.token) }]);
  }
  return acts;
}

/** What a token says of its request, unverified: it only finds rows. */
function requestOf(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')).req;
  } catch {
    return undefined;
  }
}

export async function readAlerts(client: PoolClient, grants: readonly string[]): Promise<CloseOutRecord['alerts']> {
  const { rows } = await client.query<Row>('select * from alerts where grant_id = any($1) order by at, id', [grants]);
  return rows.map((row) => ({
    ...{ id: text(row.id), kind: text(row.kind), at: time(row.at), grant: textOrNone(row.grant_id) },
    ...{ session: textOrNone(row.session_id), acknowledgedAt: timeOrNone(row.acknowledged_at) },
    ...{ acknowledgedBy: textOrNone(row.acknowledged_by), detail: object(row.detail) },
  }));
}

/** The lines of the audit log about the request, its NDA, its grants and their sessions, and where the log ended. */
export async function readAudit(
  client: PoolClient,
  { id, nda }: Request,
  grants: readonly string[],
): Promise<CloseOutRecord['audit']> {
  const targets = [
    `request:${id}`,
    ...(nda === null ? [] : [`nda:${nda}`]),
    ...grants.map((grant) => `grant:${grant}`),
  ];
  const { rows } = await client.query<Row>(
    `select seq, entry, hash_before, hash_after from audit where target = any($1)
       or target in (select 'session:' || s.id from sessions s where s.grant_id = any($2)) order by seq`,
    [targets, grants],
  );
  const head = await client.query<Row>('select seq, hash_after from audit order by seq desc limit 1');
  return {
    lines: rows.map((row) => ({
      ...{ seq: Number(row.seq), entry: text(row.entry), before: hex(row.hash_before), hash: hex(row.hash_after) },
    })),
    head: head.rows[0] === undefined ? null : { seq: Number(head.rows[0].seq), hash: hex(head.rows[0].hash_after) },
  };
}

export async function readPolicies(
  client: PoolClient,
  versions: readonly string[],
): Promise<CloseOutRecord['policies']> {
  const { rows } = await client.query<Row>(
    'select version, first_seen, text from policies where version = any($1) order by first_seen, version',
    [versions],
  );
  return rows.map((row) => {
    const version = text(row.version);
    return { version, firstSeen: time(row.first_seen), limits: limitsOf(version, text(row.text)) };
  });
}

function text(value: unknown): string {
  return String(value);
}

function textOrNone(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}

function textsOrNone(value: unknown): string[] | null {
  return Array.isArray(value) ? value.map(String) : null;
}

function numberOrNone(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value);
}

function time(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value);
}

function timeOrNone(value: unknown): string | null {
  return value instanceof Date ? value.toISOString() : null;
}

function hex(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString('hex') : '';
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
