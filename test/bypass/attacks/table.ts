/** THREATS.md B2 and more: what a read-only grant must not get through, sorted by the rule that must refuse it. */
import { CALLS } from './calls.js';
import { CHANGES } from './changes.js';
import { DISGUISES } from './disguises.js';
import { READS } from './reads.js';
import { SESSIONS } from './sessions.js';

/** Texts by what is tried, by the rule that refuses them in the record. */
export type Attacks = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface Attack {
  /** What is tried. */
  readonly name: string;
  readonly text: string;
  readonly rule: string;
  readonly reason: 'out_of_scope' | 'unknown_effect' | 'unparsable';
}

/** All of them. */
export const ATTACKS: readonly Attack[] = [CHANGES, SESSIONS, CALLS, READS, DISGUISES].flatMap((attacks) =>
  Object.entries(attacks).flatMap(([rule, texts]) =>
    Object.entries(texts).map(([name, text]) => ({ name, text, rule, reason: reasonOf(rule) })),
  ),
);

function reasonOf(rule: string): Attack['reason'] {
  if (rule.startsWith('no rule allows')) return 'out_of_scope';
  return rule === 'what cannot be parsed is refused' ? 'unparsable' : 'unknown_effect';
}
