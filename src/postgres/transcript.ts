import type { Transcript } from '../gate/protocol.js';
import type { Facts, Payload, RecordedEvent } from '../recording/event.js';
import { neutral } from '../recording/neutral.js';

/**
 * A session as SQL: what ran stands as it was run, everything else in comments, so that the file can be read, searched and,
 * after a look at it, run. What was refused, planned only, cut short or recorded in part is a comment.
 */
export const sqlTranscript: Transcript = {
  format: 'sql',
  type: 'application/sql; charset=utf-8',
  async *write(session, events) {
    yield comment(`session ${session.id}: ${session.principal} on ${session.service} as ${session.role}`);
    yield comment(`began ${new Date(session.startedAt).toISOString()}, policy ${session.policyVersion}`);
    for await (const event of events) yield pieceOf(event);
  },
};

function pieceOf({ kind, at, seq, facts, payload }: RecordedEvent): string {
  if (kind === 'action')
    return `\n${comment(`${new Date(at).toISOString()}  event ${seq}`)}${statement(facts, payload)}`;
  if (kind === 'result') return comment(`→ ${resultOf(facts)}`);
  if (kind === 'gap') return comment('NOT EVERYTHING IS RECORDED HERE');
  return kind === 'close' ? `\n${comment(`ended: ${facts.reason ?? ''}`)}` : '';
}

function statement(facts: Facts, payload: Payload | null): string {
  const text = payload?.text ?? '';
  const parameters = Array.isArray(payload?.parameters) ? payload.parameters : [];
  const bound = parameters.map((value, index) => comment(`$${index + 1} = ${JSON.stringify(value)}`)).join('');
  const why = whyNotRun(facts, payload);
  if (why !== null) return `${comment(why)}${comment(text)}${bound}`;
  return `${bound}${plain(text)}${/;\s*$/.test(text) ? '' : ';'}\n`;
}

function whyNotRun({ outcome, rule, via }: Facts, payload: Payload | null): string | null {
  if (outcome !== 'allow') return `REFUSED: ${rule ?? ''}`;
  if (payload?.length !== undefined) return 'recorded in part';
  return via === 'parse' || via === 'bind' ? 'prepared or planned, not run here' : null;
}

function resultOf({ tag, status, rows, ms }: Facts): string {
  const words = [
    tag ?? (status === '00000' ? '' : `SQLSTATE ${status ?? 'unknown'}`),
    rows && `${rows} rows`,
    ms && `${ms} ms`,
  ];
  return words.filter(Boolean).join(', ');
}

/** Every line of it stays a comment, whatever was recorded. */
function comment(text: string): string {
  return text
    .split(/\r\n|[\n\r]/)
    .map((line) => `-- ${neutral(line)}\n`)
    .join('');
}

/** A statement as it was run: its line breaks and tabs stay, and nothing else that could hide or move something. */
function plain(text: string): string {
  return text
    .split(/(\r?\n|\t)/)
    .map((piece, index) => (index % 2 === 1 ? piece : neutral(piece)))
    .join('');
}
