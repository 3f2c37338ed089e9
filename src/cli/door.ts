import { lstat } from 'node:fs/promises';
import type { Command } from 'commander';
import { DaypassError } from '../errors.js';
import { GatewayClient } from './client.js';
import { dataDirectoryOf } from './place.js';
import { askRemote, loggedInGateway } from './remote.js';
import { type ExitCode, type GatewayOptions, tellFault, userName } from './run.js';
import { keptTokens, tokenFile } from './token-file.js';

/** Options of what people do over the network, and the operator on the socket. */
export interface DoorOptions extends GatewayOptions {
  readonly gateway?: string;
  readonly by: string;
}

/** A gateway, by whichever door. Paths begin with `/v1`. */
export interface Door {
  /** Who is logged in; null on the socket. */
  readonly subject: string | null;
  ask<Body>(method: 'GET' | 'POST', path: string, body?: object): Promise<Body>;
}

/** Adds `--gateway`, `--data`, `--by` and `--json`. */
export function withDoorOptions(command: Command): Command {
  return command
    .option(
      '--gateway <address>',
      'as yourself, at this gateway (DAYPASS_GATEWAY, or the only one you are logged in at)',
    )
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
  const { gateway: address, kept } = await loggedInGateway(gateway);
  return {
    subject: kept.subject,
    ask: (method, path, body) =>
      askRemote(address, method, `/api${path}`, { token: kept.token, ...(body === undefined ? {} : { body }) }),
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
