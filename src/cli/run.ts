import { userInfo } from 'node:os';
import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { parseDuration } from '../config/duration.js';
import { DaypassError, messageOf } from '../errors.js';
import { harmlessJson } from '../log.js';
import { neutralLines } from '../recording/neutral.js';
import { GatewayClient } from './client.js';
import { dataDirectoryOf } from './place.js';

/** Options of every command that asks the gateway. */
export interface GatewayOptions {
  readonly data?: string;
  readonly json?: boolean;
}

/** Options of every act and viewing: who. */
export interface ActorOptions extends GatewayOptions {
  readonly by: string;
}

/**
 * 0 done, 1 refused or failed, 2 usage, 3 no gateway, 4 what was asked for stands and is confirmed later, 5 not logged in, or that
 * login is over, 6 the access that was used is over.
 */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** Faults that have an exit code of their own; any other is 1. */
const EXIT_CODES: Readonly<Record<string, ExitCode>> = { usage: 2, no_gateway: 3, not_logged_in: 5, login_over: 5 };

/** Adds `--data` and `--json`. */
export function withGatewayOptions(command: Command): Command {
  return command
    .option('--data <dir>', 'the data directory of the gateway (DAYPASS_DATA, or the one of this installation)')
    .option('--json', "the gateway's answer as JSON; errors as JSON on standard error");
}

/** Adds `--by` too: whoever acts or looks is recorded. */
export function withActor(command: Command): Command {
  return withGatewayOptions(command).option('--by <name>', 'who does this, for the record', userName());
}

export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.()}`; // a user without an entry in the system's list
  }
}

/** Runs one command against the gateway; its answer is the exit code. Whatever it throws is told, and ends it with 1 or 3. */
export async function withGateway(
  options: GatewayOptions,
  work: (gateway: GatewayClient) => Promise<ExitCode | undefined>,
): Promise<void> {
  try {
    process.exitCode = (await work(new GatewayClient(dataDirectoryOf(options.data)))) ?? 0;
  } catch (thrown) {
    tellFault(thrown, options.json === true);
  }
}

/** Tells what went wrong on standard error and sets the exit code. */
export function tellFault(thrown: unknown, json: boolean): void {
  const code = thrown instanceof DaypassError ? thrown.code : 'failed';
  const hint = thrown instanceof DaypassError ? thrown.hint : undefined;
  const message = messageOf(thrown);
  process.exitCode = EXIT_CODES[code] ?? 1;
  if (json) {
    const error = { code, message, ...(hint === undefined ? {} : { hint }) };
    process.stderr.write(`${harmlessJson(JSON.stringify({ error }))}\n`);
    return;
  }
  const lines = [...neutralLines(`daypass: ${message}`), ...(hint === undefined ? [] : neutralLines(hint))];
  process.stderr.write(`${lines.join('\n  ')}\n`);
}

/** Prints the answer: as JSON, or in words. */
export function tell<Body>(options: GatewayOptions, body: Body, words: (body: Body) => string): void {
  process.stdout.write(options.json === true ? `${harmlessJson(JSON.stringify(body))}\n` : `${words(body)}\n`);
}

/** `10m` → seconds, for commander. */
export function durationArgument(text: string): number {
  const seconds = parseDuration(text);
  if (seconds === undefined) throw new InvalidArgumentError('A whole number and a unit: 90s, 10m, 4h, 7d.');
  return seconds;
}

/** `2h` (ago), a date or a time → ISO 8601, for commander. */
export function sinceArgument(text: string): string {
  const seconds = parseDuration(text);
  if (seconds !== undefined) return new Date(Date.now() - seconds * 1000).toISOString();
  return momentOf(text) ?? refuseArgument(`A duration like 2h, ${MOMENT_FORMS}.`);
}

/** A date (0:00 UTC) or a time → ISO 8601, for commander. */
export function momentArgument(text: string): string {
  return momentOf(text) ?? refuseArgument(`Give ${MOMENT_FORMS}.`);
}

/** A date, for commander. */
export function dayArgument(text: string): string {
  return DAY.safeParse(text).data ?? refuseArgument('A date like 2027-03-01.');
}

const MOMENT_FORMS = 'a date like 2027-03-01 (0:00 UTC) or a time like 2027-03-01T08:00:00Z';
const DAY = z.iso.date();
/** What the API takes too. `Date.parse` would make January of `01.03.2027`, and 2 March of `2027-02-30`. */
const MOMENT = z.union([DAY, z.iso.datetime({ offset: true })]);

function momentOf(text: string): string | undefined {
  const { data } = MOMENT.safeParse(text);
  return data && new Date(data).toISOString();
}

function refuseArgument(message: string): never {
  throw new InvalidArgumentError(message);
}

/** A query string of what is given; empty when nothing is. */
export function query(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) search.set(name, String(value));
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}
