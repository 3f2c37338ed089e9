import { Command } from 'commander';
import type { SessionJson } from '../api/views.js';
import { type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { watchCommand } from './replay.js';
import { query, sinceArgument, tell } from './run.js';
import { facts, moment, table } from './words.js';

interface ListOptions extends DoorOptions {
  readonly person?: string;
  readonly service?: string;
  readonly since?: string;
  readonly refused?: true;
  readonly limit: string;
  readonly cursor?: string;
}

interface Listed {
  readonly sessions: readonly SessionJson[];
  readonly next: string | null;
}

/** `daypass sessions list|search|show|watch|end`. */
export function sessionsCommand(): Command {
  const sessions = new Command('sessions').description('recorded sessions');
  for (const command of [list(), search(), show(), watchCommand(), end()]) sessions.addCommand(command);
  return sessions;
}

function list(): Command {
  const command = new Command('list')
    .description('sessions, the newest first')
    .option('--person <name>', 'only of this person')
    .option('--service <name>', 'only with this service')
    .option('--since <when>', 'only those that began since: 2h, or a date', sinceArgument)
    .option('--refused', 'only those in which something was refused')
    .option('--limit <count>', 'at most so many', '50')
    .option('--cursor <id>', 'read on after this session');
  return withDoorOptions(command).action((options: ListOptions) =>
    withDoor(options, async (door) => {
      const { person, service, since, refused, limit, cursor } = options;
      const path = `/v1/sessions${query({ person, service, since, refused, limit, cursor })}`;
      tell(options, await door.ask<Listed>('GET', path), listWords);
      return 0;
    }),
  );
}

function listWords({ sessions, next }: Listed): string {
  if (sessions.length === 0) return 'no sessions';
  const rows = sessions.map((session) => [
    session.id,
    moment(session.startedAt),
    session.endedAt === null ? 'live' : (session.endReason ?? ''),
    session.principal,
    session.service,
    session.role,
    String(session.counts.actions),
    String(session.counts.denied),
    session.client,
  ]);
  const heading = ['SESSION', 'BEGAN (UTC)', 'END', 'PERSON', 'SERVICE', 'ROLE', 'ACTIONS', 'REFUSED', 'FROM'];
  return `${table(heading, rows)}${next === null ? '' : `\nmore: --cursor ${next}`}`;
}

interface SearchOptions extends ListOptions {
  readonly until?: string;
  readonly text?: string;
  readonly on?: string;
  readonly reason?: string;
}

interface FoundJson {
  readonly found: readonly {
    readonly session: SessionJson;
    readonly hits: readonly { readonly firstSeq: number; readonly excerpt: string }[];
  }[];
  readonly next: string | null;
}

function search(): Command {
  const command = new Command('search')
    .description('sessions by what was done in them, the newest first; that somebody searched is recorded')
    .option('--text <words>', 'words in statements, paths and messages')
    .option('--on <what>', 'a relation (public.orders) or a path, whole')
    .option('--reason <reason>', 'refused for this reason: out_of_scope')
    .option('--refused', 'only those in which something was refused')
    .option('--person <name>', 'only of this person')
    .option('--service <name>', 'only with this service')
    .option('--since <when>', 'only those that began since: 2h, or a date', sinceArgument)
    .option('--until <when>', 'only those that began before', sinceArgument)
    .option('--limit <count>', 'at most so many', '50')
    .option('--cursor <id>', 'read on after this session');
  return withDoorOptions(command).action((options: SearchOptions) =>
    withDoor(options, async (door) => {
      const { person, service, since, until, refused, text, on, reason, limit, cursor } = options;
      const { by } = door;
      const asked = query({ person, service, since, until, refused, text, on, reason, by, limit, cursor });
      tell(options, await door.ask<FoundJson>('GET', `/v1/search${asked}`), foundWords);
      return 0;
    }),
  );
}

function foundWords({ found, next }: FoundJson): string {
  if (found.length === 0) return 'nothing was found';
  const rows = found.flatMap(({ session, hits }) => {
    const { id, startedAt, principal, service } = session;
    const places = hits.length === 0 ? [{ firstSeq: 0, excerpt: '' }] : hits;
    return places.map(({ firstSeq, excerpt }) => [
      ...[id, moment(startedAt), principal, service],
      firstSeq === 0 ? '' : `from ${firstSeq}`,
      excerpt.replace(/\s+/g, ' '),
    ]);
  });
  const heading = ['SESSION', 'BEGAN (UTC)', 'PERSON', 'SERVICE', 'EVENTS', 'WHAT'];
  return `${table(heading, rows)}${next === null ? '' : `\nmore: --cursor ${next}`}`;
}

function show(): Command {
  const command = new Command('show').description('one session; that it was looked at is recorded').argument('<id>');
  return withDoorOptions(command).action((id: string, options: DoorOptions) =>
    withDoor(options, async (door) => {
      const path = `/v1/sessions/${encodeURIComponent(id)}${query({ by: door.by })}`;
      tell(options, await door.ask<SessionJson>('GET', path), showWords);
      return 0;
    }),
  );
}

function showWords(session: SessionJson): string {
  const { counts, cutAt, dueAt } = session;
  const late = cutAt === null || dueAt === null ? null : `${Date.parse(cutAt) - Date.parse(dueAt)} ms after it was due`;
  return facts([
    ['session', session.id],
    ['service', `${session.service} (${session.protocol}), role ${session.role}`],
    ['person', `${session.principal} from ${session.client}`],
    ['grant', session.grantId],
    ['began', session.startedAt],
    ['ended', session.endedAt === null ? 'still live' : `${session.endedAt} (${session.endReason})`],
    ['cut', late],
    ['after due', session.bytesAfterDue === null ? null : `${session.bytesAfterDue} bytes`],
    ['actions', `${counts.actions}, refused ${counts.denied}`],
    ['data', `${counts.rows} rows, ${counts.bytesIn} bytes in, ${counts.bytesOut} bytes out`],
    ['recording', session.mode],
    ['policy', session.policyVersion],
    ['replay', `daypass replay ${session.id}`],
  ]);
}

interface EndOptions extends DoorOptions {
  readonly reason: string;
}

interface EndedJson {
  readonly id: string;
  readonly state: 'ended' | 'queued';
}

function endWords({ id, state }: EndedJson): string {
  if (state === 'ended') return `session ${id} is ended`;
  return `session ${id} is to end: its gateway has not confirmed it yet, and cuts it as soon as it reads the ledger
to see whether it has: daypass sessions show ${id}`;
}

function end(): Command {
  const command = new Command('end')
    .description('end a live session now; its grant stays')
    .argument('<id>')
    .requiredOption('--reason <text>', 'why, one sentence');
  return withDoorOptions(command).action((id: string, options: EndOptions) =>
    withDoor(options, async (door) => {
      const path = `/v1/sessions/${encodeURIComponent(id)}/end`;
      const ended = await door.ask<EndedJson>('POST', path, { reason: options.reason });
      tell(options, ended, endWords);
      return ended.state === 'queued' ? 4 : 0;
    }),
  );
}
