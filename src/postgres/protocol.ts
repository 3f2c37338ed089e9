import { DaypassError } from '../errors.js';
import type { Protocol } from '../gate/protocol.js';
import type { Facts, Payload, RecordedEvent } from '../recording/event.js';
import { verdictOf } from '../recording/replay.js';
import { decide, describeSql, type PostgresAction } from './decide.js';
import { type PostgresUpstream, postgresConfig } from './policy.js';
import { PostgresRecaller } from './recall.js';
import type { PostgresRole } from './role.js';
import { analyse } from './sql/analyse.js';
import { sqlTranscript } from './transcript.js';

/** What Postgres contributes to the gate. */
export const postgresProtocol: Protocol<PostgresRole, PostgresAction, PostgresUpstream> = {
  ...postgresConfig,
  decide,
  describe: (action, { any, searchPath, recording }) =>
    describeSql(action, any ? undefined : searchPath[0], recording.parameters, any),
  actionFromWords: (words) => {
    const text = words.join(' ');
    if (text.trim() === '') throw new DaypassError('usage', 'Expected a statement, like "select * from orders".');
    return { text, analysis: analyse(text), contained: [], via: 'query' };
  },
  transcripts: [sqlTranscript],
  recaller: () => new PostgresRecaller(),
  render,
};

/** One event in words for a person. */
function render({ kind, facts, payload }: RecordedEvent): string {
  if (kind === 'action')
    return `${refusalOf(facts)}${NOT_RUN[String(facts.via)] ?? ''}${payload?.text ?? facts.verb ?? ''}${lengthOf(payload?.length)}${parametersOf(payload?.parameters)}`;
  if (kind === 'result')
    return `  → ${[...outcomeOf(facts), facts.ms === undefined ? '' : `${facts.ms} ms`].filter(Boolean).join(', ')}${sampleOf(payload)}`;
  return '';
}

/** Events of statements that were planned and not run in the same breath. */
const NOT_RUN: Readonly<Record<string, string>> = { parse: '[prepared] ', bind: '[planned] ' };

function refusalOf(facts: Facts): string {
  const verdict = verdictOf(facts);
  return verdict === '' ? '' : `${verdict} `;
}

function lengthOf(length: unknown): string {
  return typeof length === 'number' ? ` … (${length} characters in all)` : '';
}

function parametersOf(parameters: unknown): string {
  return Array.isArray(parameters) && parameters.length > 0 ? `  -- ${JSON.stringify(parameters)}` : '';
}

/** The first rows of a result, where the record has them: names of the columns, then each row as JSON. */
function sampleOf(payload: Payload | null): string {
  if (!Array.isArray(payload?.results)) return '';
  const named = Array.isArray(payload.columns) ? [payload.columns.join(', ')] : [];
  return [...named, ...payload.results.map((row) => JSON.stringify(row))].map((line) => `\n${line}`).join('');
}

/** The server's tag and its rows, or how it failed. */
function outcomeOf({ status, tag, rows }: Facts): readonly unknown[] {
  if (status === 'interrupted') return [tag || status, `after ${rows ?? 0} rows`];
  if (status === '00000') return [tag || status, rows ? `${rows} rows` : ''];
  return [tag, status === undefined ? '' : `SQLSTATE ${status}`];
}
