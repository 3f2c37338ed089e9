import type { Statement, Verb, Write } from './analysis.js';
import { other, plain, seen, unknownStatement } from './build.js';
import { controlStatement } from './control.js';
import { walkDefinition } from './definitions.js';
import { isFields, listOf, type Node, namesOf, nodeOf, textOf } from './tree.js';
import { Walker } from './walk.js';

const CHANGES: Readonly<Record<string, Verb>> = {
  InsertStmt: 'insert',
  UpdateStmt: 'update',
  DeleteStmt: 'delete',
  MergeStmt: 'merge',
};

/** Options of EXPLAIN that PostgreSQL itself knows; an extension can add others. */
const EXPLAIN_OPTIONS: ReadonlySet<string> = new Set(
  'analyze verbose costs settings generic_plan buffers serialize wal timing summary memory format'.split(' '),
);

const COPY_OPTIONS: ReadonlySet<string> = new Set(
  `format delimiter null default header quote escape force_quote force_not_null force_null encoding on_error
   reject_limit log_verbosity freeze`.split(/\s+/),
);

/** What one statement of the tree does. */
export function statementOf(value: unknown): Statement {
  const node = nodeOf(value);
  if (!node) return unknownStatement('an empty statement');
  const change = CHANGES[node.tag];
  if (node.tag === 'SelectStmt') return walked(node, (walker) => (walker.writes.some(isDdl) ? 'ddl' : 'select'));
  if (change) return walked(node, () => change);
  if (node.tag === 'ExplainStmt') return explain(node);
  if (node.tag === 'CopyStmt') return copy(node);
  return controlStatement(node, statementOf) ?? definition(node);
}

function walked(node: Node, verb: (walker: Walker) => Verb): Statement {
  const walker = new Walker();
  walker.walk({ [node.tag]: node.fields });
  return seen(verb(walker), walker);
}

function explain({ fields }: Node): Statement {
  const strange = unlistedOption(fields.options, EXPLAIN_OPTIONS);
  return plain('explain', {
    body: statementOf(fields.query),
    unknown: strange === null ? null : `EXPLAIN's option ${strange}`,
  });
}

/** COPY with the client's own stream. A file or a program on the server is `other`. */
function copy({ fields }: Node): Statement {
  if (fields.is_program === true || textOf(fields.filename) !== null) return other('copy with a file or a program');
  const walker = new Walker();
  const strange = unlistedOption(fields.options, COPY_OPTIONS);
  if (strange !== null) walker.refuse(`COPY's option ${strange}`);
  walker.walk(fields.whereClause);
  if (fields.is_from === true) {
    walker.write('copy-in', fields.relation);
    return seen('copy-in', walker);
  }
  if (fields.query !== undefined) return seen('copy-out', walker, { body: statementOf(fields.query) });
  const relation = walker.relation(fields.relation);
  if (relation) walker.copy(relation, namesOf(fields.attlist) ?? []);
  return seen('copy-out', walker);
}

function unlistedOption(options: unknown, listed: ReadonlySet<string>): string | null {
  for (const option of listOf(options)) {
    const fields = nodeOf(option)?.fields;
    const name = isFields(fields) ? textOf(fields.defname) : null;
    if (name === null || !listed.has(name.toLowerCase())) return name ?? 'without a name';
  }
  return null;
}

function definition(node: Node): Statement {
  const walker = new Walker();
  return walkDefinition(node, walker) ? seen('ddl', walker) : other(wordsOf(node.tag));
}

function isDdl(write: Write): boolean {
  return write.verb === 'ddl';
}

/** `AlterSystemStmt` → `alter system`. */
function wordsOf(tag: string): string {
  return tag
    .replace(/Stmt$/, '')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase();
}
