import type { Analysis, Statement } from './analysis.js';

/** A prepared statement or a cursor that a text runs. */
export interface RunName {
  readonly kind: 'statement' | 'cursor';
  readonly name: string;
}

/**
 * The prepared statements and cursors that a text runs (EXECUTE, FETCH, MOVE, EXPLAIN EXECUTE) and does not itself define
 * before: whoever tracks names must say what they contain. A name that is defined before in the same text is judged there; were it
 * taken already, PostgreSQL would stop at its definition.
 */
export function namesRun(analysis: Analysis): readonly RunName[] {
  if (!analysis.ok) return [];
  const defined = new Set<string>();
  const run: RunName[] = [];
  for (const statement of analysis.statements) {
    for (const part of partsOf(statement)) {
      if (part.runs && !defined.has(keyOf(part.runs))) run.push(part.runs);
    }
    if (statement.defines) defined.add(keyOf(statement.defines));
  }
  return run;
}

/** A statement and what it contains, outermost first. */
export function partsOf(statement: Statement): readonly Statement[] {
  return statement.body ? [statement, ...partsOf(statement.body)] : [statement];
}

function keyOf({ kind, name }: RunName): string {
  return `${kind} ${name}`;
}
