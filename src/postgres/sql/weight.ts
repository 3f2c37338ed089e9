import type { Analysis, Source, Statement } from './analysis.js';

// Measured, bytes: what a statement takes by itself, what each reference to a column, and what each other thing it touches.
const STATEMENT = 768;
const REFERENCE = 256;
const THING = 128;
/** A place in a list. */
const PLACE = 8;

const known = new WeakMap<Analysis, number>();

/**
 * Roughly what is kept of an analysis besides its names, bytes. It follows from what was found, not from the text: of 62 KB that name
 * a column again and again 8 MB are kept.
 */
export function weightOfAnalysis(analysis: Analysis): number {
  const before = known.get(analysis);
  if (before !== undefined) return before;
  const weight = analysis.ok ? weightOfStatements(analysis.statements) : STATEMENT;
  known.set(analysis, weight);
  return weight;
}

function weightOfStatements(statements: readonly Statement[]): number {
  const scopes = new Set<readonly Source[]>();
  let weight = PLACE;
  for (const statement of statements)
    for (let one: Statement | null = statement; one !== null; one = one.body) weight += weightOf(one, scopes);
  for (const { length } of scopes) weight += PLACE * length;
  return weight;
}

/** @param scopes - the lists that references stand among, each noted once: many references share it */
function weightOf(one: Statement, scopes: Set<readonly Source[]>): number {
  const { reads, writes, locks, functions, references, attributes, operators, types } = one;
  let things = reads.length + writes.length + locks.length + functions.length + operators.length + types.length;
  for (const { own, visible } of [...references, ...attributes.flatMap(({ of }) => of ?? [])]) {
    if (!scopes.has(own)) things += own.length;
    scopes.add(own).add(visible);
  }
  return STATEMENT + REFERENCE * (references.length + attributes.length) + THING * things;
}
