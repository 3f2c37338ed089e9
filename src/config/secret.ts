import { isDeepStrictEqual } from 'node:util';
import type { SecretReference } from './values.js';

/** The shortest secret that is looked for, bytes: shorter ones appear in any answer by chance. */
export const SHORTEST_SOUGHT = 6;

/** What a protocol injects: a secret as it was read, and every form in which a service that gives it away would say it. */
export interface Injected {
  readonly value: string;
  readonly forms: readonly string[];
}

/** How a policy file words a secret: `env ORDERS_DB_PASSWORD`, `file orders.key`. */
function wordingOf(reference: SecretReference): string {
  return 'env' in reference ? `env ${reference.env}` : `file ${reference.file}`;
}

/** The secrets that one service file refers to, by what they turned out to be: two references may lead to the same. */
export class SecretNames {
  readonly #names = new Map<string, Set<string>>();

  add(value: string, reference: SecretReference): void {
    const names = this.#names.get(value) ?? new Set();
    this.#names.set(value, names.add(wordingOf(reference)));
  }

  /** What is to be looked for in the answers of the service: each secret once under each of its names. */
  sought(injected: Iterable<Injected>): readonly SoughtSecret[] {
    const found = new Map<string, SoughtSecret>();
    for (const { value, forms } of injected)
      for (const name of this.#names.get(value) ?? []) found.set(name, new SoughtSecret(name, forms));
    return [...found.values()];
  }
}

/** A secret that must not come back from its service. Its bytes are where no log line, no record and no JSON takes them from. */
export class SoughtSecret {
  /** As the policy words it. */
  readonly name: string;
  readonly #forms: readonly Buffer[];

  /** @param forms - those that contain another one, or are too short to mean anything, are not looked for */
  constructor(name: string, forms: readonly string[]) {
    this.name = name;
    const long = [...new Set(forms)].filter((form) => Buffer.byteLength(form) >= SHORTEST_SOUGHT);
    this.#forms = long
      .filter((form) => !long.some((other) => other !== form && form.includes(other)))
      .map((form) => Buffer.from(form));
  }

  /** What to look for, bytes. */
  forms(): readonly Buffer[] {
    return this.#forms;
  }

  /** Whether the same is looked for, whatever it is called. */
  isAs(other: SoughtSecret): boolean {
    return isDeepStrictEqual(this.#forms, other.#forms);
  }
}

/** Of secrets that were replaced so many are remembered, the newest. */
const MOST_FORMER = 32;

/** For sessions that look for the same there is one list, from which what is made of it is known again. */
const AFTER = new WeakMap<readonly SoughtSecret[], WeakMap<readonly SoughtSecret[], readonly SoughtSecret[]>>();

/**
 * What is looked for once the secrets are others: what was sent before may be said yet by what is connected since then.
 * @param before - what was looked for so far
 * @param now - the secrets from here on
 */
export function soughtAfter(before: readonly SoughtSecret[], now: readonly SoughtSecret[]): readonly SoughtSecret[] {
  const known = AFTER.get(before) ?? new WeakMap();
  AFTER.set(before, known);
  const sought = known.get(now) ?? withFormer(before, now);
  known.set(now, sought);
  return sought;
}

function withFormer(before: readonly SoughtSecret[], now: readonly SoughtSecret[]): readonly SoughtSecret[] {
  const former = before.filter((secret) => !now.some((one) => one.isAs(secret)));
  return former.length === 0 ? now : [...now, ...former.slice(0, MOST_FORMER)];
}
