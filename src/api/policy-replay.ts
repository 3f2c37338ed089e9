import type { FastifyRequest } from 'fastify';
import type { Pool } from 'pg';
import { z } from 'zod';
import { readDocument } from '../config/document.js';
import type { ServicePolicy } from '../config/protocol.js';
import { readService } from '../config/service.js';
import { standInSchemas } from '../config/values.js';
import { DaypassError } from '../errors.js';
import type { Protocol } from '../gate/protocol.js';
import { Redecider } from '../gate/redecide.js';
import { narrowingIn } from '../grant/verify.js';
import { readEvents } from '../recording/blocks.js';
import type { RecordedEvent } from '../recording/event.js';
import { type ApiApp, actorIn } from './app.js';
import { checked } from './faults.js';
import { ownersOf } from './grant-views.js';
import { may } from './may.js';
import { Places } from './places.js';
import { aboutAll, type Recordings, remember } from './recordings.js';
import { policyReplayBody } from './schemas.js';

/** An action that the draft would have decided otherwise. */
export interface Change {
  readonly session: string;
  readonly seq: number;
  readonly at: string;
  readonly principal: string;
  readonly role: string;
  readonly action: string;
  readonly would: 'refused' | 'allowed';
  readonly rule: string;
  readonly message: string;
}

/** What a draft would have made of what was recorded. */
export interface PolicyReplay {
  readonly service: string;
  readonly since: string;
  readonly sessions: number;
  readonly actions: number;
  readonly refused: number;
  readonly allowed: number;
  readonly undeterminable: number;
  /** How many actions could not be determined, by why. */
  readonly why: Readonly<Record<string, number>>;
  /** The first thousand; `refused` and `allowed` count all. */
  readonly changes: readonly Change[];
}

const MOST_CHANGES = 1_000;
const LONGEST_ACTION = 500;

const replayed = z.looseObject({ service: z.string(), sessions: z.number(), actions: z.number() });

/** `daypass policy replay`: for reviewers, operators, and owners of the service that the draft is for. */
export function policyReplayRoutes(app: ApiApp, { pool, protocols, policies }: Recordings): void {
  const about = (request: FastifyRequest) => {
    const { draft } = checked(policyReplayBody, request.body);
    // A large draft takes long to read: nobody's is who owns nothing, whatever it says.
    const any = aboutAll({ policies })();
    if (!may(actorIn(request), 'policies.replay', any)) return any;
    return { owners: ownersOf(policies, [serviceIn(readDocument(draft).value)]) };
  };
  // It goes on also when nobody waits for it any more.
  const places = new Places(1, 'replays of policies');
  app.post(
    '/policy/replay',
    {
      bodyLimit: 512 * 1024,
      config: { name: 'policies.replay', about, noted: true },
      schema: {
        summary: 'decide what was recorded again, by a draft of a service file',
        body: policyReplayBody,
        response: { 200: replayed },
      },
    },
    async (request) => {
      const { draft, since } = request.body;
      const policy = readPolicy(draft, protocols);
      const leave = places.take(actorIn(request));
      const found = await remember(pool, request, 'policy', null)
        .then(() => replayPolicy(pool, protocols, policy, since))
        .finally(leave);
      return { ...found };
    },
  );
}

/** The service that a draft is for. */
function serviceIn(draft: unknown): string {
  return String(Object(draft).service ?? '');
}

/**
 * Decides what was recorded with a service again, by a draft of its policy. Recordings are read block by block, so it takes
 * time and little memory.
 * @param since - ISO 8601
 */
async function replayPolicy(
  pool: Pool,
  protocols: readonly Protocol[],
  draft: ServicePolicy,
  since: string,
): Promise<PolicyReplay> {
  const protocol = protocols.find(({ name }) => name === draft.protocol);
  if (protocol === undefined) throw new DaypassError('invalid_request', `There is no protocol ${draft.protocol}.`);
  const known = await knownPolicies(pool, protocols, draft.name);
  const counts = { sessions: 0, actions: 0, refused: 0, allowed: 0, undeterminable: 0 };
  const why = new Map<string, number>();
  const changes: Change[] = [];
  for await (const session of sessionsSince(pool, draft, since)) {
    counts.sessions += 1;
    const recorded = (version: string) => {
      const policy = known.get(version);
      return policy === undefined ? null : policy.roleFor(session.role, session.only);
    };
    const again = new Redecider(protocol, { recorded, draft: draft.roleFor(session.role, session.only) });
    for await (const event of readEvents(pool, session.id)) {
      const verdict = again.next(event);
      if (verdict === null || event.at < Date.parse(since)) continue;
      counts.actions += 1;
      if (verdict.kind === 'same') continue;
      counts[verdict.kind] += 1;
      if (verdict.kind === 'undeterminable') why.set(verdict.why, (why.get(verdict.why) ?? 0) + 1);
      else if (changes.length < MOST_CHANGES) {
        const { rule, message } = verdict.decision;
        changes.push({ ...placeOf(session, event), would: verdict.kind, rule, message });
      }
    }
  }
  return { service: draft.name, since, ...counts, why: Object.fromEntries(why), changes };
}

interface ReplayedSession {
  readonly id: string;
  readonly principal: string;
  readonly role: string;
  /** The rules that its grant was narrowed to; null: all of the role's. */
  readonly only: readonly string[] | null;
}

function placeOf({ id, principal, role }: ReplayedSession, { seq, at, facts, payload }: RecordedEvent) {
  const action = (payload?.text || `${facts.verb ?? ''} ${(facts.on ?? []).join(' ')}`).slice(0, LONGEST_ACTION);
  return { session: id, seq, at: new Date(at).toISOString(), principal, role, action };
}

/** Those of a service that were not over by then, the oldest first, a page at a time. */
async function* sessionsSince(
  pool: Pool,
  { name, protocol }: ServicePolicy,
  since: string,
): AsyncGenerator<ReplayedSession> {
  for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
    const { rows } = await pool.query<Omit<ReplayedSession, 'only'> & { readonly token: string | null }>(
      `select id, principal, role, (select token from grants where grants.id = grant_id) as token from sessions
       where service = $1 and protocol = $2 and coalesce(ended_at, 'infinity') >= $3 and id > $4 order by id limit 100`,
      [name, protocol, since, after],
    );
    for (const { token, ...session } of rows) yield { ...session, only: narrowingIn(token ?? '').only };
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.id;
  }
}

/** Every text of this service that the ledger keeps and this build still understands, by version. */
async function knownPolicies(
  pool: Pool,
  protocols: readonly Protocol[],
  service: string,
): Promise<ReadonlyMap<string, ServicePolicy>> {
  const { rows } = await pool.query<{ version: string; text: string }>(
    'select version, text from policies where service = $1',
    [service],
  );
  return new Map(
    rows.flatMap(({ version, text }) => {
      const read = judged(text, protocols);
      return read.ok ? [[version, read.value] as const] : [];
    }),
  );
}

/** Secrets and addresses are stood in for: what they are decides nothing. @throws DaypassError `config_invalid` */
function readPolicy(text: string, protocols: readonly Protocol[]): ServicePolicy {
  const read = judged(text, protocols);
  if (read.ok) return read.value;
  const problems = read.findings.map(({ path, message }) =>
    path.length > 0 ? `${path.join('.')}: ${message}` : message,
  );
  throw new DaypassError('config_invalid', `The draft has problems: ${problems.join('; ')}`, {
    hint: '`daypass check` with the draft in the place of the service file says where.',
  });
}

function judged(text: string, protocols: readonly Protocol[]) {
  const document = readDocument(text);
  const stem = serviceIn(document.value);
  const problems = document.problems.map(({ message }) => ({ path: [], part: 'value' as const, message }));
  const read = readService({ stem, text, document }, protocols, standInSchemas());
  return problems.length > 0 ? { ok: false as const, findings: problems } : read;
}
