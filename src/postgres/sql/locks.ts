import { aliasOf } from './columns.js';
import { type Fields, listOf, nodeOf, textOf } from './tree.js';

/** The part of the relations read that one item of FROM brought: from its first to behind its last. */
export type Stretch = readonly [from: number, to: number];

/** One item of FROM that a FOR UPDATE can name; null: it has no name there. */
interface Leaf {
  readonly name: string | null;
  readonly stretch: Stretch;
}

/**
 * What a FOR UPDATE or FOR SHARE locks: the items of FROM that it names, or all of them. A name that is not found locks
 * everything: too much is the safe side.
 * @param stretches - what each item of FROM brought
 * @returns null for a malformed clause
 */
export function lockedStretches(
  clause: unknown,
  from: unknown,
  stretches: ReadonlyMap<Fields, Stretch>,
): readonly Stretch[] | null {
  const node = nodeOf(clause);
  if (node?.tag !== 'LockingClause') return null;
  const leaves = listOf(from).flatMap((item) => leavesOf(item, stretches));
  const names = listOf(node.fields.lockedRels).map((item) => textOf(nodeOf(item)?.fields.relname));
  const named = leaves.filter((leaf) => names.includes(leaf.name));
  const everyNameFound = names.length > 0 && names.every((name) => named.some((leaf) => leaf.name === name));
  return (everyNameFound ? named : leaves).map(({ stretch }) => stretch);
}

function leavesOf(item: unknown, stretches: ReadonlyMap<Fields, Stretch>): readonly Leaf[] {
  const node = nodeOf(item);
  if (!node) return [];
  const { tag, fields } = node;
  if (tag === 'JoinExpr') {
    const leaves = [...leavesOf(fields.larg, stretches), ...leavesOf(fields.rarg, stretches)];
    return fields.alias === undefined ? leaves : leaves.map(({ stretch }) => ({ name: null, stretch }));
  }
  if (tag === 'RangeTableSample') return leavesOf(fields.relation, stretches);
  const stretch = stretches.get(fields);
  return stretch ? [{ name: aliasOf(fields) ?? textOf(fields.relname), stretch }] : [];
}
