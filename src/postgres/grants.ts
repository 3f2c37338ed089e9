import type { PostgresRole, PostgresRule } from './role.js';

/** The rules of one role while something is judged: which of them granted anything. */
export class UsedRules {
  readonly used = new Set<string>();
  readonly #role: PostgresRole;

  constructor(role: PostgresRole) {
    this.#role = role;
  }

  /** The first rule that grants it, noted as used; or undefined. */
  find(grants: (rule: PostgresRule) => boolean): PostgresRule | undefined {
    const rule = this.#role.rules.find(grants);
    if (rule) this.used.add(rule.text);
    return rule;
  }

  /** Whether a rule names this function, type or the function behind an operator or a cast (`schema.name`). */
  names(qualified: string): boolean {
    return this.find(({ functions }) => functions.has(qualified)) !== undefined;
  }
}
