import type { Source } from './analysis.js';

/**
 * What names may stand for at one place of a statement: the queries that WITH named there and the items of FROM, and
 * around it those of the queries outside.
 */
export interface Scope {
  /** Names that WITH gave. They hide unqualified relations of the same name. */
  readonly names: Set<string>;
  /** Filled while FROM is walked, which may be after what refers to it. */
  readonly items: Source[];
  readonly outer: Scope | null;
  /** The one value that the column `name` of pg_settings has here. */
  readonly setting: string | null;
}

/** A scope inside another. */
export function scopeIn(outer: Scope | null, setting: string | null = null): Scope {
  return { names: new Set(), items: [], outer, setting };
}

/** Whether WITH gave the name to a query. */
export function isNamed(name: string, scope: Scope | null): boolean {
  for (let at = scope; at; at = at.outer) if (at.names.has(name)) return true;
  return false;
}

/**
 * Every item that a column at this place may come from. A query in FROM sees its neighbours only when it is LATERAL;
 * here it always does: what may be meant is judged, so that more of it is the safe side.
 */
export function visibleFrom(scope: Scope | null): readonly Source[] {
  const items: Source[] = [];
  for (let at = scope; at; at = at.outer) items.push(...at.items);
  return items;
}
