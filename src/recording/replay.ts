import { messageOf } from '../errors.js';
import type { Facts, RecordedEvent } from './event.js';
import { neutral, neutralLines } from './neutral.js';
import type { SessionView } from './read.js';

/** Puts the events of one protocol into words; every `Protocol` is one. */
export interface Renderer {
  readonly name: string;
  render(event: RecordedEvent): string;
}

/**
 * A recording as text for a terminal, piece by piece. Whatever was recorded, no control character of it comes through: what
 * spans several lines is indented under its event, so that recorded text cannot pose as another event.
 */
export async function* replay(
  session: SessionView,
  events: AsyncIterable<RecordedEvent>,
  renderers: readonly Renderer[],
): AsyncGenerator<string> {
  yield heading(session);
  const renderer = renderers.find(({ name }) => name === session.protocol);
  for await (const event of events) yield replayEvent(event, renderer);
}

/** The same, each piece in a line of JSON with its time (milliseconds since the epoch; null for the heading): for showing it at its pace. */
export async function* timedReplay(
  session: SessionView,
  events: AsyncIterable<RecordedEvent>,
  renderers: readonly Renderer[],
): AsyncGenerator<string> {
  const renderer = renderers.find(({ name }) => name === session.protocol);
  yield `${JSON.stringify({ at: null, text: heading(session) })}\n`;
  for await (const event of events) yield `${JSON.stringify({ at: event.at, text: replayEvent(event, renderer) })}\n`;
}

/** One event: its time (UTC), number and kind, then what happened. Ends with a line break. */
export function replayEvent(event: RecordedEvent, renderer: Renderer | undefined): string {
  const [first = '', ...rest] = neutralLines(wordsOf(event, renderer));
  const prefix = `${timeOf(event.at)}  ${String(event.seq).padStart(5)}  ${neutral(String(event.kind)).padEnd(7)}`;
  return [`${prefix} ${first}`.trimEnd(), ...rest.map((line) => `${INDENT}${line}`)]
    .map((line) => `${line}\n`)
    .join('');
}

/** Up to where the words begin: 23 of time, 5 of number, 7 of kind, and what is between them. */
const INDENT = `${' '.repeat(38)}| `;

function heading(session: SessionView): string {
  const facts = [
    ['session', session.id],
    ['service', `${session.service} (${session.protocol}), role ${session.role}`],
    ['person', `${session.principal} from ${session.client}`],
    ['grant', session.grantId],
    ['began', new Date(session.startedAt).toISOString()],
    [
      'ended',
      session.endedAt === null ? 'still going on' : `${new Date(session.endedAt).toISOString()} (${session.endReason})`,
    ],
  ] as const;
  return `${facts.map(([name, value]) => `${name.padEnd(8)} ${neutral(value)}`).join('\n')}\n\n`;
}

/** The gate's own events in its own words; actions and results in their protocol's. */
function wordsOf(event: RecordedEvent, renderer: Renderer | undefined): string {
  switch (event.kind) {
    case 'open':
      return `${text(event.facts.principal)} was ${comingOf(event.facts)} ${text(event.facts.service)} as ${text(event.facts.role)}, from ${text(event.facts.client)}`;
    case 'renewed':
      return `access extended until ${text(event.facts.expiresAt)}`;
    case 'policy':
      return `judged by policy ${text(event.facts.policy)} from here on`;
    case 'gap':
      return `NOT EVERYTHING IS RECORDED HERE: ${listed(event.facts)}`;
    case 'close':
      return `ended: ${listed(event.facts)}`;
    case 'notice':
      if (event.facts.about === 'secret_seen')
        return `THE SERVICE SENT A SECRET THAT IS INJECTED TOWARDS IT: ${text(event.facts.secret)}`;
      return rendered(event, renderer);
    default:
      return rendered(event, renderer);
  }
}

function comingOf({ refused }: Facts): string {
  return refused === undefined ? 'let in to' : 'turned away from';
}

/** What became of an action that was not allowed, in brackets; empty for any other. */
export function verdictOf({ outcome, reason, rule = '' }: Facts): string {
  if (outcome === 'allow') return '';
  const verdict = outcome === 'deny' ? 'refused' : (outcome ?? 'undecided');
  return reason === undefined ? `[${verdict}: ${rule}]` : `[${verdict}, ${reason}: ${rule}]`;
}

function rendered(event: RecordedEvent, renderer: Renderer | undefined): string {
  if (renderer === undefined) return listed({ ...event.facts, ...event.payload });
  try {
    return renderer.render(event);
  } catch (thrown) {
    return `${listed({ ...event.facts, ...event.payload })} (its protocol could not put it into words: ${messageOf(thrown)})`;
  }
}

function listed(facts: Facts): string {
  return Object.entries(facts)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${text(value)}`)
    .join(' ');
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
}

function timeOf(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? '????-??-?? ??:??:??.???' : date.toISOString().slice(0, 23).replace('T', ' ');
}
