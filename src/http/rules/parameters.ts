import { unescaped } from './escapes.js';

/** One of several, the place of which is known. */
export interface Parameter {
  readonly at: number;
  readonly name: string;
  readonly value: string;
}

/** The parameters of a query, in order, as a service may take them apart: with their escapes undone, as characters that are bytes. */
export class Parameters {
  readonly #query: string;
  readonly all: readonly (readonly [name: string, value: string])[];

  /** @param query - with its `?`, or empty */
  constructor(query: string) {
    this.#query = query;
    this.all = query.slice(1).split(/[&;]/).map(parameterOf);
  }

  /** `;` parts parameters for some, and is a part of one for others. */
  get mayBeOthers(): boolean {
    return this.#query.includes(';');
  }

  /** The only one of a kind; null where there is none, and 'many' where services may take different ones. */
  one(isWanted: (name: string) => boolean): Parameter | 'many' | null {
    const places = this.all.flatMap(([name, value], at) => (isWanted(name) ? [{ at, name, value }] : []));
    const [first] = places;
    if (first === undefined) return null;
    return places.length > 1 || this.mayBeOthers ? 'many' : first;
  }

  /** The query as it was written, without some: with its `?`, or empty. @param isGone - whether the parameter at this place is left out */
  without(isGone: (at: number) => boolean): string {
    const others = this.#query
      .slice(1)
      .split('&')
      .filter((_, at) => !isGone(at));
    return others.length === 0 ? '' : `?${others.join('&')}`;
  }
}

/** Taken apart before escapes are undone: `a%3Db:method=` has the name `a=b:method`. */
function parameterOf(part: string): readonly [string, string] {
  const at = part.indexOf('=');
  const [name, value] = at === -1 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
  return [plainOf(name), plainOf(value)];
}

function plainOf(text: string): string {
  return unescaped(text.replaceAll('+', ' '));
}
