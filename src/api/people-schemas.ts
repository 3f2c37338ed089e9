import { z } from 'zod';
import { flag, line, name, plain } from './schemas.js';

/** Without `group:`. */
const groups = z.array(plain.max(128)).max(100);
const at = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));

/** On the operator's socket every act carries who; over the network the login says it. */
const by = line.optional();

export const inviteBody = z.strictObject({
  subject: name,
  name: line.optional(),
  kind: z.enum(['contractor', 'employee']).optional(),
  email: line.optional(),
  sponsor: name.optional(),
  endsAt: at.optional(),
  groups: groups.optional(),
  reason: line.optional(),
  by,
});

export const reassignBody = z.strictObject({ sponsor: name, reason: line, by });
export const extendBody = z.strictObject({ endsAt: at, reason: line, by });
export const groupsBody = z.strictObject({ groups, reason: line, by });
export const closeBody = z.strictObject({ reason: line, by });

/** Whoever acts on the operator's socket. */
export const byBody = z.object({ by: line });

export const peopleQuery = z.strictObject({
  sponsor: name.optional(),
  open: flag.default(false),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  /** The subject after which the list goes on. */
  cursor: name.optional(),
});

export const personPath = z.object({ subject: name });
