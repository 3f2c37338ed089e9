import { z } from 'zod';
import { withoutHandles } from '../log.js';

/**
 * One line for a person: no control characters, at most 500 characters. It is kept in the ledger and in records, so a handle
 * that somebody pastes into a reason is cut out of it (THREATS.md A16).
 */
export const line = z
  .string()
  .trim()
  .min(1, 'must not be empty')
  .max(500, 'must have at most 500 characters')
  .regex(/^[^\p{Cc}\p{Zl}\p{Zp}\p{Cs}]*$/u, 'must be one line without control characters')
  .transform(withoutHandles);

/** A text that the ledger and its audit log can keep: no control characters, no halves of a character. */
export const plain = z.string().regex(/^[^\p{Cc}\p{Zl}\p{Zp}\p{Cs}]*$/u, 'must have no control characters');

export const name = plain.min(1).max(128);

/** A whole number of seconds; the service's policy says how many at most. */
const durationSeconds = z.int().min(1);

export const issueBody = z.strictObject({
  principal: name,
  service: name,
  /** The service's default role when not given. */
  role: name.optional(),
  durationSeconds,
  sponsor: line,
  reason: line,
});

export const renewBody = z.strictObject({ durationSeconds, reason: line });

/** Every act carries why. */
export const actBody = z.strictObject({ reason: line });

/** Who does something on the operator's socket. */
export const byName = z.object({ by: line });

/** Whom a login link is for, and whose logins are to end. */
export const loginBody = z.strictObject({ principal: name, reason: line, by: line });

/** `true` and `false` as they stand in a query. */
export const flag = z.enum(['true', 'false']).transform((value) => value === 'true');

export const grantId = z
  .string()
  .regex(/^[0-9A-Za-z]{22}$/, 'a grant id has 22 letters and digits: daypass grant list has them');

/** An id of all that is not a grant. @param list - the command that tells them */
export const idIn = (list: string) =>
  z.uuid(`not a whole id, like 01a20786-66df-7799-81b9-38184e7f34e6: ${list} has them`);
const sessionId = idIn('daypass sessions list');
export const requestId = idIn('daypass requests list');

/** How many at once, and after which one. */
export const pageOf = (cursor: z.ZodType<string>) => ({
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
  cursor: cursor.optional(),
});

/** A time as it leaves the gateway: ISO 8601, UTC. */
export const moment = z.iso.datetime();

export const grantQuery = z.strictObject({
  principal: name.optional(),
  service: name.optional(),
  active: flag.optional().describe('only those that are not over: in force, suspended or still to begin'),
  ...pageOf(grantId),
});

const sessionFilter = {
  person: name.optional(),
  service: name.optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
  refused: flag.optional(),
};

export const sessionQuery = z.strictObject({ ...sessionFilter, ...pageOf(sessionId) });

export const searchQuery = z.strictObject({
  ...sessionFilter,
  text: plain.min(2).max(200).optional(),
  on: plain.min(1).max(1_000).optional(),
  reason: name.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: sessionId.optional(),
});

/** `timed`: a line of JSON for each event, with its time, so that it can be shown at its pace. */
export const watchQuery = z.strictObject({ timed: flag.optional() });
export const exportQuery = z.strictObject({ format: name });

export const verifyBody = z.strictObject({ session: sessionId.optional() });
/** An operator who does not say who they are. */
const somebody = line.default('operator');

export const rebuildBody = z.strictObject({ session: sessionId.optional(), by: somebody });
export const reloadBody = z.strictObject({ by: somebody });

/** A draft is a whole service file. Nothing else is served while it is read as YAML: of a mebibyte that takes many seconds. */
export const policyReplayBody = z.strictObject({
  draft: z.string().min(1).max(131_072),
  since: z.iso.datetime({ offset: true }),
});

export const grantPath = z.object({ id: grantId });
export const sessionPath = z.object({ id: sessionId });
