import { type Fields, isFields, listOf, namesOf, nodeOf, textOf } from './tree.js';

/** The name that an item of FROM is given. */
export function aliasOf(fields: Fields): string | null {
  return isFields(fields.alias) ? textOf(fields.alias.aliasname) : null;
}

/** Whether the last part of a column is `*`. */
export function isStar(value: unknown): boolean {
  return nodeOf(value)?.tag === 'A_Star';
}

/** What an INSERT does with rows that are there already. */
export function conflictActionOf(clause: unknown): string | null {
  return isFields(clause) ? textOf(clause.action) : null;
}

/** The names of the target's old and new row in RETURNING. */
export function returningNames(clause: unknown): readonly string[] {
  const options = isFields(clause) ? listOf(clause.options) : [];
  return ['old', 'new', ...options.flatMap((item) => textOf(nodeOf(item)?.fields.value) ?? [])];
}

/**
 * The operators an expression looks up by unqualified name: its own, and those that PostgreSQL's grammar leaves to the
 * analysis (parse_expr.c: transformAExprBetween, transformCaseExpr, transformSubLink).
 */
export function impliedOperators(tag: 'A_Expr' | 'CaseExpr' | 'SubLink', fields: Fields): readonly string[] {
  if (tag === 'CaseExpr') return fields.arg === undefined ? [] : EQUAL;
  if (tag === 'SubLink' && fields.operName === undefined) return fields.testexpr === undefined ? [] : EQUAL;
  const names = namesOf(tag === 'SubLink' ? fields.operName : fields.name) ?? [];
  if (names.length !== 1) return [];
  return /BETWEEN/.test(textOf(fields.kind) ?? '') ? RANGE : names;
}

const EQUAL = ['='];
const RANGE = ['>=', '<=', '>', '<'];
