import type { Facts, Json, Payload, RecordedEvent } from '../../recording/event.js';
import { verdictOf } from '../../recording/replay.js';

/** One event of an HTTP session in words. */
export function render({ kind, facts, payload }: RecordedEvent): string {
  if (kind === 'action') return [renderAction(facts, payload), verdictOf(facts)].filter(Boolean).join('  ');
  if (kind !== 'result')
    return [kind, ...Object.entries(facts).map(([name, value]) => `${name}=${JSON.stringify(value)}`)].join(' ');
  return facts.verb === 'message' ? `← ${renderMessage(facts, payload)}` : renderResult(facts, payload);
}

function renderAction(facts: Facts, payload: Payload | null): string {
  const { verb = '', on = [], of } = facts;
  if (verb === 'message') return renderMessage(facts, payload);
  const request = payload?.text ?? `${verb} ${on.join(' ')}`;
  return of === undefined ? request : `${request} (event ${of} asks for it)`;
}

/** What a client says in them, the reason of a close say, is no message of its own. */
const CONTROL: ReadonlySet<unknown> = new Set(['ping', 'pong', 'close']);

function renderMessage({ on = [], frame, code, bytes, sha256, whole }: Facts, payload: Payload | null): string {
  const cut = payload?.whole === false || whole === false ? ' …' : '';
  const digest = sha256 === undefined ? '' : `, sha256 ${sha256}`;
  const what = [CONTROL.has(frame) ? frame : 'message', ...(code === undefined ? [] : [code])].join(' ');
  const said = payload?.text ?? `(${bytes} bytes${digest})`;
  return `${what} on ${on.join(' ')}${said === '' ? '' : `: ${said}${cut}`}`;
}

function renderResult(facts: Facts, payload: Payload | null): string {
  const parts = [`→ ${facts.status ?? 'no answer'}`];
  if (facts.bytesIn !== undefined) parts.push(`${facts.bytesIn} bytes in`);
  if (facts.unsent !== undefined) parts.push(`${facts.unsent} of its ${facts.messages} allowed messages not sent on`);
  if (facts.unconfirmed !== undefined)
    parts.push(`${facts.unconfirmed} of its ${facts.messages} allowed messages perhaps not sent on`);
  if (facts.requestWhole === false) parts.push('answered before all of it came');
  if (facts.repeated === true) parts.push('sent twice');
  if (facts.withheld !== undefined) parts.push(`its challenge (${facts.withheld}) not passed on`);
  if (facts.bytesOut !== undefined) parts.push(`${facts.bytesOut} bytes out`);
  if (facts.ms !== undefined) parts.push(`${facts.ms} ms${timings(facts)}`);
  if (facts.reason !== undefined) parts.push(facts.reason);
  return parts.join(', ') + body('', payload) + body('→ ', payload?.response);
}

function timings({ queueMs, firstByteMs }: Facts): string {
  const words = [
    ...(queueMs === undefined ? [] : [`${queueMs} before`]),
    ...(firstByteMs === undefined ? [] : [`first byte after ${firstByteMs}`]),
  ];
  return words.length === 0 ? '' : ` (${words.join(', ')})`;
}

/** What is recorded of a body: of a request it stands in the payload itself, of a response in a part of it. */
function body(mark: string, sample: Json | Payload | null | undefined): string {
  if (typeof sample !== 'object' || sample === null || !('text' in sample)) return '';
  return `\n${mark}${sample.text}${sample.whole === false ? ' …' : ''}`;
}
