import type { Setting, Statement, Transaction } from './analysis.js';
import { other, plain, seen } from './build.js';
import { type Fields, isFields, listOf, type Node, nodeOf, textOf } from './tree.js';
import { Walker } from './walk.js';

/** Two-phase commit is not among them: a prepared transaction outlives the session. */
const TRANSACTIONS: Readonly<Record<string, string>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'start',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollback_to',
};

const TRANSACTION_OPTIONS: ReadonlySet<string> = new Set([
  'transaction_isolation',
  'transaction_read_only',
  'transaction_deferrable',
]);

/**
 * Statements that steer the session: transactions, the lock that reading takes, settings, prepared statements, cursors.
 * @param inner - reads a statement that stands inside another
 * @returns null when it is none of them
 */
export function controlStatement(node: Node, inner: (value: unknown) => Statement): Statement | null {
  const { tag, fields } = node;
  switch (tag) {
    case 'TransactionStmt':
      return transactionStatement(fields);
    case 'ConstraintsSetStmt':
      return plain('transaction', { transaction: { kind: 'set_constraints', readWrite: false } });
    case 'VariableSetStmt':
      return settingStatement(fields);
    case 'VariableShowStmt':
      return plain('show', { setting: setting(fields, 'show', null) });
    case 'PrepareStmt':
    case 'ExecuteStmt':
    case 'DeallocateStmt':
    case 'DiscardStmt':
      return preparedStatement(tag, fields, inner);
    case 'DeclareCursorStmt':
    case 'FetchStmt':
    case 'ClosePortalStmt':
      return cursorStatement(tag, fields, inner);
    // Pools say it with each connection that they take back; of a session that may not LISTEN it does nothing.
    case 'UnlistenStmt':
      return plain('discard', { what: 'unlisten' });
    case 'LockStmt':
      return fields.mode === ACCESS_SHARE ? lockStatement(fields) : null;
    default:
      return null;
  }
}

/** lockdefs.h, AccessShareLock: what reading takes. Every stronger lock keeps somebody waiting. */
const ACCESS_SHARE = 1;

function lockStatement(fields: Fields): Statement {
  const walker = new Walker();
  walker.walk(fields.relations);
  return seen('lock', walker);
}

function transactionStatement(fields: Fields): Statement {
  const kind = TRANSACTIONS[textOf(fields.kind) ?? ''];
  if (kind === undefined) return other('two-phase commit');
  return transaction(kind, fields.options);
}

function transaction(kind: string, options: unknown): Statement {
  let readWrite = false;
  for (const item of listOf(options)) {
    const option = nodeOf(item)?.fields ?? {};
    const name = textOf(option.defname) ?? '';
    if (!TRANSACTION_OPTIONS.has(name)) return plain('other', { unknown: `a transaction's option ${name}` });
    if (name === 'transaction_read_only' && !isTrue(option.arg)) readWrite = true;
  }
  const made: Transaction = { kind, readWrite };
  return plain('transaction', { transaction: made });
}

function isTrue(arg: unknown): boolean {
  const constant = nodeOf(arg)?.fields;
  return isFields(constant?.ival) && constant.ival.ival === 1;
}

function settingStatement(fields: Fields): Statement {
  switch (fields.kind) {
    case 'VAR_SET_VALUE':
      return plain('set', { setting: setting(fields, 'set', listOf(fields.args).map(constantOf).join(', ')) });
    case 'VAR_SET_DEFAULT':
      return plain('set', { setting: setting(fields, 'reset', null) });
    case 'VAR_RESET':
    case 'VAR_RESET_ALL':
      return plain('reset', { setting: setting(fields, 'reset', null) });
    case 'VAR_SET_MULTI':
      if (fields.name === 'TRANSACTION') return transaction('set', fields.args);
      if (fields.name === 'SESSION CHARACTERISTICS') return transaction('session', fields.args);
      return other('set transaction snapshot');
    default:
      return other('this form of set');
  }
}

function setting(fields: Fields, kind: Setting['kind'], value: string | null): Setting {
  return { name: textOf(fields.name)?.toLowerCase() ?? null, value, kind, local: fields.is_local === true };
}

/** A constant as SET would store it. SET TIME ZONE INTERVAL is a cast: its value is not needed by any rule. */
function constantOf(arg: unknown): string {
  const node = nodeOf(arg);
  if (node?.tag !== 'A_Const') return '?';
  const { sval, ival, fval, boolval } = node.fields;
  if (isFields(sval)) return textOf(sval.sval) ?? '';
  if (isFields(fval)) return textOf(fval.fval) ?? '0';
  if (isFields(boolval)) return String(boolval.boolval === true);
  return isFields(ival) ? String(ival.ival ?? 0) : '?';
}

function preparedStatement(tag: string, fields: Fields, inner: (value: unknown) => Statement): Statement {
  const name = textOf(fields.name);
  if (tag === 'DiscardStmt') {
    return plain('discard', { drops: fields.target === 'DISCARD_ALL' ? { kind: 'all', name: null } : null });
  }
  if (tag === 'DeallocateStmt') return plain('deallocate', { drops: { kind: 'statement', name } });
  if (name === null) return plain('other', { unknown: 'a prepared statement without a name' });
  const walker = new Walker();
  if (tag === 'ExecuteStmt') {
    walker.walk(fields.params);
    return seen('execute', walker, { runs: { kind: 'statement', name } });
  }
  walker.walk(fields.argtypes);
  return seen('prepare', walker, { body: inner(fields.query), defines: { kind: 'statement', name } });
}

function cursorStatement(tag: string, fields: Fields, inner: (value: unknown) => Statement): Statement {
  const name = textOf(fields.portalname);
  if (tag === 'ClosePortalStmt') return plain('close', { drops: { kind: 'cursor', name } });
  if (name === null) return plain('other', { unknown: 'a cursor without a name' });
  if (tag === 'FetchStmt') return plain('fetch', { runs: { kind: 'cursor', name } });
  return plain('declare', { body: inner(fields.query), defines: { kind: 'cursor', name } });
}
