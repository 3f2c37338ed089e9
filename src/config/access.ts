import { z } from 'zod';
import type { Finding } from './issues.js';
import { didYouMean } from './nearest.js';
import { durationSchema, hinted, keyedMap, nameSchema } from './values.js';

/** Phrases that name no task, unless the policy has a list of its own. Compared without case and accents. */
export const VAGUE_PHRASES: readonly string[] = [
  ...['fix bug', 'fix bugs', 'bug fix', 'bugfix', 'fix issue', 'fixing', 'debug', 'debugging', 'troubleshooting'],
  ...['various', 'misc', 'miscellaneous', 'other', 'general', 'stuff', 'things', 'etc', 'test', 'testing', 'tests'],
  ...['support', 'help', 'work', 'task', 'maintenance', 'access', 'need access', 'as discussed', 'as agreed'],
  ...['see ticket', 'see above', 'urgent', 'asap', 'tbd', 'todo', 'n/a', 'none', 'no reason'],
];

const roles = z.array(nameSchema).max(100);

/** `access:` of a service file: who may ask for what, and who has to agree. */
export const accessSchema = z.strictObject({
  approvals: z
    .int(hinted('not a number of approvals', '1 to 5; roles that need none stand in pre_approved'))
    .min(1, hinted('not a number of approvals', '1 to 5; roles that need none stand in pre_approved'))
    .max(5, hinted('not a number of approvals', '1 to 5; roles that need none stand in pre_approved'))
    .default(1),
  pre_approved: roles.default([]),
  clock: z.enum(['start', 'first_use']).default('start'),
  nda: z.literal('required', hinted('not a demand', 'write nda: required, or leave the key out')).optional(),
  decide_within: durationSchema.default(72 * 3_600),
  max_ahead: durationSchema.default(30 * 86_400),
  break_glass: z
    .strictObject({
      roles: roles.min(1, hinted('no role', 'name one, or leave break_glass out')),
      max_duration: durationSchema,
    })
    .optional(),
  task: z
    .strictObject({
      min_length: z.int().min(1).max(400).default(20),
      refuse: z
        .array(z.string().min(1).max(200))
        .max(500)
        .default([...VAGUE_PHRASES]),
    })
    .prefault({}),
});

/** How access to a service is asked for. */
export interface AccessPolicy {
  /** How many of the owner's group have to agree. */
  readonly approvals: number;
  /** Roles for which nobody has to. */
  readonly preApproved: readonly string[];
  /** `start`: a grant runs from the agreed moment; `first_use`: from its activation. */
  readonly clock: 'start' | 'first_use';
  readonly ndaRequired: boolean;
  readonly decideWithinSeconds: number;
  /** How far ahead access may begin. */
  readonly maxAheadSeconds: number;
  readonly breakGlass: { readonly roles: readonly string[]; readonly maxDurationSeconds: number } | null;
  readonly task: { readonly minLength: number; readonly refuse: readonly string[] };
  /** The roles that each role builds on (`extends`), the nearest first: what an approver may narrow it to. */
  readonly bases: ReadonlyMap<string, readonly string[]>;
}

/** @param rawRoles - `roles:` as it stands in the file, without faults */
export function toAccessPolicy(read: z.output<typeof accessSchema>, rawRoles: unknown): AccessPolicy {
  const glass = read.break_glass;
  return {
    approvals: read.approvals,
    preApproved: read.pre_approved,
    clock: read.clock,
    ndaRequired: read.nda === 'required',
    decideWithinSeconds: read.decide_within,
    maxAheadSeconds: read.max_ahead,
    breakGlass: glass === undefined ? null : { roles: glass.roles, maxDurationSeconds: glass.max_duration },
    task: { minLength: read.task.min_length, refuse: read.task.refuse },
    bases: basesOf(rawRoles),
  };
}

/** What holds between `access:` and the rest of the file: its roles are there, and emergencies are no way around `grants:`. */
export function accessFindings(
  read: z.output<typeof accessSchema> | undefined,
  rawRoles: unknown,
  maxDurationSeconds: number,
): Finding[] {
  if (read === undefined) return [];
  const known = Object.keys(keyedMap.safeParse(rawRoles).data ?? {});
  const glass = read.break_glass;
  const findings = [
    ...unknownRoles(read.pre_approved, ['access', 'pre_approved'], known),
    ...unknownRoles(glass?.roles ?? [], ['access', 'break_glass', 'roles'], known),
  ];
  if (glass === undefined || glass.max_duration <= maxDurationSeconds) return findings;
  const path = ['access', 'break_glass', 'max_duration'];
  const hint = 'at most grants.max_duration: an emergency is short';
  return [...findings, { path, part: 'value', message: 'longer than any grant of this service', hint }];
}

function unknownRoles(names: readonly string[], path: readonly string[], known: readonly string[]): Finding[] {
  return names.flatMap((name, index): Finding[] => {
    if (known.includes(name)) return [];
    const hint = didYouMean(name, known);
    const finding = { path: [...path, index], part: 'value' as const, message: `unknown role "${name}"` };
    return [hint === undefined ? finding : { ...finding, hint }];
  });
}

/** Chains end and name known roles: compiling the roles has found otherwise before. */
function basesOf(rawRoles: unknown): ReadonlyMap<string, readonly string[]> {
  const blocks = keyedMap.safeParse(rawRoles).data ?? {};
  const base = (name: string) => {
    const found = keyedMap.safeParse(blocks[name]).data?.extends;
    return typeof found === 'string' ? found : undefined;
  };
  return new Map(
    Object.keys(blocks).map((name) => {
      const chain: string[] = [];
      for (let next = base(name); next !== undefined && !chain.includes(next); next = base(next)) chain.push(next);
      return [name, chain];
    }),
  );
}
