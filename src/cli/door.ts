import { lstat } from 'node:fs/promises';
import type { Command } from 'commander';
import { DaypassError } from '../errors.js';
import { GatewayClient } from './client.js';
import { dataDirectoryOf } from './place.js';
import { askRemote, loggedInGateway, type Meant, streamRemote } from './remote.js';
import { type ExitCode, type GatewayOptions, tellFault, userName } from './run.js';
import { keptTokens, tokenFile } from './token-file.js';
import { CA_WORDS } from './tool-login.js';

/** Options of what people do over the network, and the operator on the socket. */
export interface DoorOptions extends GatewayOptions, Meant {
  readonly by: string;
}

/** A gateway, by whichever door. Paths begin with `/v1`. */
export interface Door {
  /** Who is logged in; null on the socket. */
  readonly subject: string | null;
  /** Whose name the query of a look has to say; nobody's over the network, where it is known who looks. */
  readonly by: string | undefined;
  /** @param within - how long the answer may take over the network, milliseconds */
  ask<Body>(method: 'GET' | 'POST', path: string, body?: object, within?: number): Promise<Body>;
  /** A long answer, piece by piece. */
  stream(path: string): AsyncIterable<string>;
}

/** How long an answer may take that is made of many recordings, milliseconds. */
export const LONG_ANSWER = 10 * 60_000;

/** Adds `--gateway`, `--ca`, `--data`, `--by` and `--json`. */
export function withDoorOptions(command: Command): Command {
  return command
    .option(
      '--gateway <address>',
      'as yourself, at this gateway (DAYPASS_GATEWAY, or the only one you are logged in at)',
    )
    .option('--ca <file>', CA_WORDS)
    .option('--data <dir>', 'as the operator of this machine, by the socket in this data directory (DAYPASS_DATA)')
    .option('--by <name>', 'on the socket: who does this, for the record', userName())
    .option('--json', "the gateway's answer as JSON; errors as JSON on standard error");
}

/** Runs one command at whichever door is meant; its answer is the exit code. */
export async function withDoor(
  options: DoorOptions,
  work: (door: Door) => Promise<ExitCode | undefined>,
): Promise<void> {
  try {
    process.exitCode = (await work(await openDoor(options))) ?? 0;
  } catch (thrown) {
    tellFault(thrown, options.json === true);
  }
}

/** What is said on the command line comes first, then the environment, then where somebody is logged in, then the socket. */
async function openDoor(options: DoorOptions): Promise<Door> {
  const { gateway, data, by } = options;
  if (gateway !== undefined && data !== undefined)
    throw new DaypassError('usage', 'Either --gateway or --data: they are two doors.');
  if (gateway === undefined && (data !== undefined || !(await isLoggedIn()))) return socketDoor(data, by);
  await checkPrivate(tokenFile());
  const { kept, ...place } = await loggedInGateway(options);
  const { token } = kept;
  return {
    subject: kept.subject,
    by: undefined,
    ask: (method, path, body, within) => askRemote(place, method, `/api${path}`, { token, body, within }),
    stream: (path) => streamRemote(place, `/api${path}`, token),
  };
}

async function isLoggedIn(): Promise<boolean> {
  if (process.env.DAYPASS_GATEWAY) return true;
  return !process.env.DAYPASS_DATA && (await keptTokens()).size === 1;
}

function socketDoor(data: string | undefined, by: string): Door {
  const client = new GatewayClient(dataDirectoryOf(data));
  return {
    subject: null,
    by,
    stream: (path) => client.stream(path),
    ask: async <Body>(method: 'GET' | 'POST', path: string, body?: object) =>
      (await client.ask<Body>(method, path, method === 'GET' ? undefined : { ...body, by })).body,
  };
}

/** Tokens that others could have read or written are used no more. */
export async function checkPrivate(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found === null || ((found.mode & 0o077) === 0 && found.uid === (process.getuid?.() ?? found.uid))) return;
  throw new DaypassError('token_file', `Others may read ${path}, or own it.`, {
    hint: `chmod 600 ${path}; if others may have seen it, run daypass logout and log in again.`,
  });
}
