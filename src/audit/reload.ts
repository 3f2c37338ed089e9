import type { AuditEntry } from './entry.js';

/** What became of a reload. */
interface Outcome {
  readonly ok: boolean;
  readonly problems: readonly string[];
}

/** The line of a reload of the configuration. Problems are counted: the gateway's log has their texts. */
export function reloadEntry(
  who: Pick<AuditEntry, 'actor' | 'via' | 'reason'>,
  gateway: string,
  { ok, problems }: Outcome,
): AuditEntry {
  const result = ok ? 'done' : 'refused';
  return { ...who, act: 'config.reload', target: `gateway:${gateway}`, result, detail: { problems: problems.length } };
}
