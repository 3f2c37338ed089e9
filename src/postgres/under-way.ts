import { withdraw } from './by-name.js';
import type { Conversation } from './conversation.js';
import type { ExecuteExpectation, Expectation, QueryExpectation } from './expectations.js';
import type { Statement } from './sql/analysis.js';

/** What the server is answering with a result. */
export type Running = QueryExpectation | ExecuteExpectation;

export function isRunning(expectation: Expectation | undefined): expectation is Running {
  return expectation?.kind === 'execute' || expectation?.kind === 'query';
}

/** The statement whose result is under way; null when it is not known for certain. */
function statementUnderWay(talk: Conversation, running: Running): Statement | null {
  if (running.kind === 'query')
    return (running.action.analysis.ok && running.action.analysis.statements[running.done]) || null;
  const statements = talk.portals.confirmed(running.portal)?.statements ?? NOTHING;
  const only = statements.length === 1 ? statements[0] : undefined;
  return (only?.analysis.ok && only.analysis.statements[0]) || null;
}

/** Every portal that the rows under way may come from: the one executed, and the cursors that FETCH may name. */
export function sourcesUnderWay(talk: Conversation, running: Running): readonly string[] {
  const sources: string[] = [];
  if (running.kind === 'query') {
    addCursors(talk, sources, statementUnderWay(talk, running));
    return sources;
  }
  sources.push(running.portal);
  for (const { analysis } of talk.portals.confirmed(running.portal)?.statements ?? NOTHING)
    if (analysis.ok) for (const one of analysis.statements) addCursors(talk, sources, one);
  return sources;
}

/** Of a statement that runs nothing by name, which nearly all are, nothing is made. */
function addCursors(talk: Conversation, sources: string[], statement: Statement | null): void {
  if (statement?.runs) sources.push(...cursorsOf(talk, statement));
}

/** The cursors that a statement fetches from, also by EXECUTE of a FETCH (or of another EXECUTE) that the protocol prepared. */
function cursorsOf(talk: Conversation, statement: Statement): readonly string[] {
  const all = new Set([statement]);
  const cursors: string[] = [];
  // What is added on the way is gone through as well.
  for (const { runs } of all) {
    if (runs?.kind === 'cursor') cursors.push(runs.name);
    if (runs?.kind !== 'statement') continue;
    const prepared = talk.statements.confirmed(runs.name)?.analysis;
    if (prepared?.ok) for (const next of prepared.statements) all.add(next);
  }
  return cursors;
}

const NOTHING: readonly never[] = [];

/**
 * A statement was completed: the names it gave stand for what it said, those it dropped for nothing any more. The tag has to
 * be that of such a statement: what is not known for certain is not forgotten. Neither a prepared statement nor its
 * DEALLOCATE is undone by ROLLBACK; a cursor that was closed does not come back either (PostgreSQL: PREPARE, CLOSE).
 */
export function settleNames(talk: Conversation, running: Running, tag: string): void {
  const statement = statementUnderWay(talk, running);
  if (statement?.defines && (tag === 'PREPARE' || tag === 'DECLARE CURSOR')) {
    for (const one of running.defined) if (one.body === statement.body) one.confirm();
    // Whichever it might have been besides, it was not.
    if (running.kind === 'execute') withdraw(running.defined);
  }
  if (statement?.drops && DROPPED.test(tag)) drop(talk, statement.drops);
}

const DROPPED = /^(?:DEALLOCATE|CLOSE CURSOR|DISCARD ALL)/;

/** The server skips a message, behind one that failed: names it would have given stand for nothing of it, and it has no result. */
export function recordSkipped({ passage, statements, portals }: Conversation, expectation: Expectation): void {
  if (expectation.kind === 'parse') statements.withdraw(expectation.name, expectation.statement);
  else if (expectation.kind === 'bind') portals.withdraw(expectation.name, expectation.portal);
  else if (isRunning(expectation)) {
    withdraw(expectation.defined);
    passage.result(expectation.seq, { status: 'skipped' });
  }
}

function drop({ statements, portals, taken }: Conversation, { kind, name }: NonNullable<Statement['drops']>): void {
  if (kind !== 'cursor') {
    if (name === null) statements.closeAll();
    else statements.close(name);
  }
  if (kind === 'statement') return;
  taken.closes(name);
  if (name === null) portals.closeAll();
  else portals.close(name);
}
