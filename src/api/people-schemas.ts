import { z } from 'zod';
import { flag, line, name, plain } from './schemas.js';

/** Without `group:`. */
const groups = z.array(plain.max(128)).max(100);
const at = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));

export const inviteBody = z.strictObject({
  subject: name,
  name: line.optional(),
  kind: z.enum(['contractor', 'employee']).optional(),
  email: line.optional(),
  sponsor: name.optional(),
  endsAt: at.optional(),
  groups: groups.optional(),
  reason: line.optional(),
});

export const reassignBody = z.strictObject({ sponsor: name, reason: line });
export const extendBody = z.strictObject({ endsAt: at, reason: line });
export const groupsBody = z.strictObject({ groups, reason: line });
export const closeBody = z.strictObject({ reason: line });

export const peopleQuery = z.strictObject({
  sponsor: name.optional(),
  open: flag.default(false),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  /** The subject after which the list goes on. */
  cursor: name.optional(),
});

export const personPath = z.object({ subject: name });
