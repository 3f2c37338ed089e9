import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { AuditEntry, Via } from '../audit/entry.js';
import type { RefusedActs } from '../audit/refusals.js';
import type { Actor } from '../identity/actor.js';
import { line, plain } from './schemas.js';

/** What a refusal was told as. */
interface Refused {
  readonly status: number;
  readonly code: string;
}

/** The acts of routes whose address does not say them. Any other: `POST /v1/requests/:id/approve` is `request.approve`. */
const ACTS: Readonly<Record<string, string>> = {
  '/v1/grants': 'grant.issue',
  '/v1/login-links': 'login.link',
  '/v1/logouts': 'login.logout',
  '/v1/verify': 'recording.verify',
  '/v1/index/rebuild': 'index.rebuild',
  '/v1/reload': 'config.reload',
  '/v1/offboardings': 'offboard',
};

/** What refuses these acts has written so itself. */
const TOLD_BEHIND = /^\/(?:api\/)?v1\/(?:people|invitations|offboardings)(?:\/|$)/;

const byBody = z.object({ by: line });
const reasonBody = z.object({ reason: line });
const short = z
  .union([plain.max(128), z.number()])
  .optional()
  .catch(undefined);
/** What else of a request says what was wanted. Never a secret stands in these. */
const wantedBody = z.object({
  ...{ principal: short, service: short, role: short, session: short, durationSeconds: short },
  subject: short,
});

/**
 * Writes down that an administrative act was refused, or failed. Only for requests that were well formed: they name a route,
 * and who asks. What was wrongly written is no act.
 */
export async function noteRefusal(acts: RefusedActs, request: FastifyRequest, refused: Refused): Promise<void> {
  if (TOLD_BEHIND.test(request.routeOptions.url ?? '')) return;
  const who = request.actor === null ? namedIn(request) : knownTo(request);
  const entry = who === null ? null : refusedEntry(request, who, refused);
  if (entry === null) return;
  const noted = acts.note(entry);
  // What failed may have failed because the ledger is silent: the answer does not wait for it once more.
  if (refused.status < 500) await noted;
}

interface Who {
  readonly actor: string;
  readonly via: Via;
}

/** What the guard has refused, and written down. */
const forbidden = new WeakSet<FastifyRequest>();

/** Writes down what the guard refuses; what is refused behind it, is written down there or at the door. */
export async function noteForbidden(
  acts: RefusedActs,
  request: FastifyRequest,
  { subject: actor, via }: Actor,
): Promise<void> {
  forbidden.add(request);
  const entry = refusedEntry(request, { actor, via }, { status: 403, code: 'not_allowed' });
  if (entry !== null) await acts.note(entry);
}

/** On the routes that the operator's socket has of its own, the body says who asks. */
function namedIn({ body }: FastifyRequest): Who | null {
  const by = byBody.safeParse(body).data?.by;
  return by === undefined ? null : { actor: by, via: 'socket' };
}

/** What the guard refused it wrote down itself, and most acts do so where they are judged. */
function knownTo(request: FastifyRequest): Who | null {
  const { actor, routeOptions } = request;
  if (actor === null || forbidden.has(request) || routeOptions.config.noted !== true) return null;
  return { actor: actor.subject, via: actor.via };
}

/**
 * The line of a refused request.
 * @returns null for one that only reads, or was malformed
 */
function refusedEntry(request: FastifyRequest, who: Who, { status, code }: Refused): AuditEntry | null {
  const route = request.routeOptions.url;
  if (route === undefined || ['GET', 'HEAD', 'OPTIONS'].includes(request.method) || status === 400) return null;
  const act = actOf(route);
  const wanted = wantedBody.safeParse(request.body).data ?? {};
  const reason = reasonBody.safeParse(request.body).data?.reason ?? null;
  const result = status >= 500 ? 'failed' : 'refused';
  return { ...who, act, target: targetOf(request, act, wanted), reason, result, detail: { code, ...wanted } };
}

function actOf(route: string): string {
  const named = ACTS[route.replace(/^\/api/, '')];
  if (named !== undefined) return named;
  const words = route.split('/').filter((word) => /^[a-z-]+$/.test(word) && word !== 'api');
  const [noun = 'act', ...more] = words;
  const one = noun === 'people' ? 'person' : noun.replace(/s$/, '');
  return `${one}.${more.at(-1) ?? 'create'}`;
}

const aboutPath = z.object({ id: short, subject: short });

function targetOf({ params }: FastifyRequest, act: string, wanted: z.output<typeof wantedBody>): string {
  const noun = act.split('.')[0] ?? 'act';
  const { id, subject = wanted.subject } = aboutPath.safeParse(params).data ?? {};
  if (id !== undefined) return `${noun}:${id}`;
  if (subject !== undefined) return `person:${subject}`;
  if (wanted.service !== undefined) return `service:${wanted.service}`;
  if (wanted.principal !== undefined) return `person:${wanted.principal}`;
  return noun;
}
