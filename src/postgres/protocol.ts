import { DaypassError } from '../errors.js';
import type { Protocol } from '../gate/protocol.js';
import type { Facts, RecordedEvent } from '../recording/event.js';
import { decide, describeSql, type PostgresAction } from './decide.js';
import { type PostgresRole, type PostgresUpstream, postgresConfig } from './policy.js';
import { analyse } from './sql/analyse.js';

/** What Postgres contributes to the gate. */
export const postgresProtocol: Protocol<PostgresRole, PostgresAction, PostgresUpstream> = {
  ...postgresConfig,
  decide,
  describe: (action, role) => describeSql(action, role.any ? undefined : role.searchPath[0], role.recording.parameters),
  actionFromWords: (words) => {
    const text = words.join(' ');
    if (text.trim() === '') throw new DaypassError('usage', 'Expected a statement, like "select * from orders".');
    return { text, analysis: analyse(text), contained: [], via: 'query' };
  },
  render,
};

/** One event in words for a person. */
function render({ kind, facts, payload }: RecordedEvent): string {
  if (kind === 'action')
    return `${decisionOf(facts)}${NOT_RUN[String(facts.via)] ?? ''}${payload?.text ?? facts.verb ?? ''}${parametersOf(payload?.parameters)}`;
  if (kind === 'result')
    return `  → ${[facts.tag || facts.status, rowsOf(facts), facts.ms === undefined ? '' : `${facts.ms} ms`].filter(Boolean).join(', ')}`;
  return '';
}

/** Events of statements that were planned and not run in the same breath. */
const NOT_RUN: Readonly<Record<string, string>> = { parse: '[prepared] ', bind: '[planned] ' };

function decisionOf({ outcome, rule }: Facts): string {
  return outcome === 'allow' ? '' : `[refused: ${rule}] `;
}

function parametersOf(parameters: unknown): string {
  return Array.isArray(parameters) && parameters.length > 0 ? `  -- ${JSON.stringify(parameters)}` : '';
}

function rowsOf({ status, rows }: Facts): string {
  if (status === 'interrupted') return `after ${rows ?? 0} rows`;
  return status === '00000' && rows
    ? `${rows} rows`
    : status !== undefined && status !== '00000'
      ? `SQLSTATE ${status}`
      : '';
}
