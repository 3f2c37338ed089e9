import { setTimeout as pause } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { harmlessJson } from '../log.js';
import { type Door, type DoorOptions, withDoor, withDoorOptions } from './door.js';
import { query } from './run.js';
import { showLines, writeOut } from './showing.js';

/** The longest pause between two events when they are shown at their pace, milliseconds: nobody waits for a lunch break. */
const LONGEST_PAUSE = 3_000;

interface ReplayOptions extends DoorOptions {
  readonly format?: string;
  readonly speed?: number;
}

/**
 * `daypass replay <id>`: what was done, in order, in words. With `--json` one event a line, since a recording may be long.
 */
export function replayCommand(): Command {
  const command = new Command('replay')
    .description('what was done in a session, in order; that it was looked at is recorded')
    .argument('<id>', 'the session')
    .option('--format <form>', 'for another tool: sql (databases), har (web); jsonl is --json')
    .option('--speed <times>', 'show it at its pace: 1 as it was, 10 ten times as fast', speedArgument);
  return withDoorOptions(command).action((id: string, options: ReplayOptions) =>
    withDoor(options, async (door) => {
      const { format, speed } = options;
      const { by } = door;
      const session = `/v1/sessions/${encodeURIComponent(id)}`;
      if (options.json === true || format === 'jsonl')
        await showLines(door.stream(`${session}/events${query({ by })}`), 'The recording');
      else if (format !== undefined) await show(door, `${session}/export${query({ by, format })}`);
      else if (speed === undefined) await show(door, `${session}/replay${query({ by })}`);
      else await showPaced(door, `${session}/export${query({ by, format: 'timed' })}`, speed);
      return 0;
    }),
  );
}

/** `daypass sessions watch <id>`: what is recorded, as it is recorded, until the session ends. */
export function watchCommand(): Command {
  const command = new Command('watch')
    .description('a session as it is recorded, until it ends; that it was looked at is recorded')
    .argument('<id>', 'the session');
  return withDoorOptions(command).action((id: string, options: DoorOptions) =>
    withDoor(options, async (door) => {
      const timed = options.json === true ? true : undefined;
      const path = `/v1/sessions/${encodeURIComponent(id)}/watch${query({ by: door.by, timed })}`;
      await show(door, path, options.json === true);
      return 0;
    }),
  );
}

async function show(door: Door, path: string, json = false): Promise<void> {
  for await (const piece of door.stream(path)) await writeOut(json ? harmlessJson(piece) : piece);
}

/** Each event after as long as it took, less by `speed`. */
async function showPaced(door: Door, path: string, speed: number): Promise<void> {
  let before: number | null = null;
  for await (const { at, text } of timedLines(door.stream(path))) {
    if (before !== null && at !== null) await pause(Math.min(LONGEST_PAUSE, Math.max(0, (at - before) / speed)));
    before = at ?? before;
    await writeOut(text);
  }
}

async function* timedLines(pieces: AsyncIterable<string>): AsyncGenerator<{ at: number | null; text: string }> {
  let rest = '';
  for await (const piece of pieces) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line);
  }
}

function speedArgument(text: string): number {
  const speed = Number(text);
  if (Number.isFinite(speed) && speed > 0) return speed;
  throw new InvalidArgumentError('A number above 0: 1, 10, 0.5.');
}
