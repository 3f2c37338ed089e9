import { wordSeconds } from '../config/duration.js';
import { DaypassError } from '../errors.js';
import { MAX_RULES } from '../grant/claims.js';
import { checkSeconds } from './period.js';
import { chainOf, type Requestable } from './policy.js';

/** What one approver leaves of a request; null: as it was asked for. */
export interface Narrowing {
  readonly role: string | null;
  readonly seconds: number | null;
  /** The rules that remain, by their texts. */
  readonly only: readonly string[] | null;
}

/** What all of them leave together. */
export interface Allowed {
  readonly role: string;
  readonly seconds: number;
  readonly only: readonly string[] | null;
}

/**
 * Judges what one approver leaves: a role that the asked one builds on and that gives no more in anything else, rules of that role,
 * a time that is no longer.
 * @throws DaypassError `unknown_role`, `wider_limits`, `unknown_rule`, `invalid_period`, each with what would pass
 */
export function checkNarrowing(
  asked: { role: string; seconds: number },
  narrowing: Narrowing,
  requestable: Requestable,
): void {
  const chain = chainOf(requestable, asked.role);
  const role = narrowing.role ?? asked.role;
  if (!chain.includes(role)) {
    const narrower = chain.slice(1);
    throw new DaypassError(
      'unknown_role',
      `The role ${JSON.stringify(role)} is not one that ${asked.role} builds on.`,
      {
        hint:
          narrower.length > 0 ? `Narrower are ${narrower.join(', ')}.` : 'Leave rules out of it instead, or refuse.',
      },
    );
  }
  checkLimits(role, asked.role, requestable);
  if (narrowing.only !== null) checkOnly(narrowing.only, role, requestable.policy.rulesOf(role));
  if (narrowing.seconds === null) return;
  checkSeconds(narrowing.seconds, Number.MAX_SAFE_INTEGER, requestable.policy.name);
  if (narrowing.seconds > asked.seconds) {
    throw new DaypassError('invalid_period', `An approval may shorten the time and never lengthen it.`, {
      hint: `Approve ${wordSeconds(asked.seconds)} or less.`,
    });
  }
}

/**
 * A role that another builds on has fewer rules, and may have larger limits: then it is no narrower one.
 * @throws DaypassError `wider_limits`, naming them
 */
function checkLimits(role: string, than: string, { policy }: Requestable): void {
  const looser = role === than ? [] : policy.looser(role, than);
  if (looser.length === 0) return;
  throw new DaypassError(
    'wider_limits',
    `The role ${role} of ${policy.name} gives more than ${than} in ${looser.join(', ')}: it is no narrower one.`,
    { hint: `Leave rules out of ${than} instead, or have the limits of ${role} tightened in the policy.` },
  );
}

/**
 * What several approvals leave together: the narrowest role, the rules that all of them left, the shortest time. The roles an
 * approver may choose are a chain, so that one of them is the narrowest.
 * @throws DaypassError `unknown_rule` when no rule is left, `wider_limits` when the narrowest in rules gives more than another left
 */
export function narrowest(
  asked: { role: string; seconds: number },
  narrowings: readonly Narrowing[],
  requestable: Requestable,
): Allowed {
  const chain = chainOf(requestable, asked.role);
  const role = chain[Math.max(0, ...narrowings.map((one) => chain.indexOf(one.role ?? asked.role)))] ?? asked.role;
  for (const left of narrowings) if (left.role !== null) checkLimits(role, left.role, requestable);
  const seconds = Math.min(asked.seconds, ...narrowings.map((one) => one.seconds ?? asked.seconds));
  const lists = narrowings.flatMap(({ only }) => (only === null ? [] : [only]));
  if (lists.length === 0) return { role, seconds, only: null };
  const only = requestable.policy.rulesOf(role).filter((text) => lists.every((list) => list.includes(text)));
  if (only.length > 0) return { role, seconds, only };
  throw new DaypassError('unknown_rule', 'Together with the other approvals no rule would be left.', {
    hint: 'Refuse it, or leave a rule that the others left as well.',
  });
}

function checkOnly(only: readonly string[], role: string, texts: readonly string[]): void {
  const known = `Its rules are: ${texts.join(' · ')}.`;
  if (only.length === 0) throw new DaypassError('unknown_rule', 'At least one rule must remain.', { hint: known });
  if (only.length > MAX_RULES) throw new DaypassError('unknown_rule', `At most ${MAX_RULES} rules can be named.`);
  for (const rule of only) {
    const times = texts.filter((text) => text === rule).length;
    if (times === 1) continue;
    const why =
      times === 0 ? `has no rule ${JSON.stringify(rule)}` : `has several rules that read ${JSON.stringify(rule)}`;
    throw new DaypassError('unknown_rule', `The role ${role} ${why}.`, { hint: known });
  }
}
