import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { Command } from 'commander';
import { DaypassError } from '../errors.js';
import { checkPrivate } from './door.js';
import { listenForCode } from './loopback.js';
import {
  askRemote,
  chosenGateway,
  gatewayAt,
  loggedInGateway,
  type Meant,
  notLoggedIn,
  type Place,
  placeOf,
} from './remote.js';
import { tell, tellFault } from './run.js';
import { type KeptToken, keepToken, tokenFile } from './token-file.js';
import { facts } from './words.js';

/** Options of every command that asks a gateway over the network. */
export interface RemoteOptions extends Meant {
  readonly json?: boolean;
}

interface LoginOptions extends RemoteOptions {
  readonly as?: string;
  readonly link?: string;
  readonly browser: boolean;
}

/** What `--ca` says of itself. */
export const CA_WORDS = 'a file with the certificates (PEM) that vouch for the gateway; remembered with the login';

/** How long a person may take in the browser, milliseconds. */
const PATIENCE = 10 * 60_000;

/** Adds `--gateway`, `--ca` and `--json`. */
export function withRemoteOptions(command: Command): Command {
  return command
    .option('--gateway <address>', "the gateway's own address (DAYPASS_GATEWAY, or the only one you are logged in at)")
    .option('--ca <file>', CA_WORDS)
    .option('--json', "the gateway's answer as JSON; errors as JSON on standard error");
}

/** Runs one command of a person against a gateway on the network. */
async function withRemote(options: RemoteOptions, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    tellFault(thrown, options.json === true);
    if (thrown instanceof DaypassError && thrown.code === 'usage') process.exitCode = 2;
  }
}

/** `daypass login`. */
export function loginCommand(): Command {
  const command = new Command('login')
    .description('log this command line in, through your browser, for as long as you are logged in there')
    .option('--as <account>', 'the account that it has to be')
    .option('--link <url>', 'a login link, on a machine without a browser')
    .option('--no-browser', 'print the address instead of opening it');
  return withRemoteOptions(command).action((options: LoginOptions) =>
    withRemote(options, async () => {
      const [{ gateway, ca }, { token, subject, expiresAt }] =
        options.link === undefined ? await byBrowser(options) : await byLink(options, options.link);
      await keepToken(gateway, { token, subject, expiresAt, ca });
      tell(options, { gateway, subject, expiresAt }, () => `logged in at ${gateway} as ${subject}, until ${expiresAt}`);
    }),
  );
}

type LoggedIn = readonly [place: Place, given: KeptToken];

/** RFC 8252 with PKCE: what the browser brings is worth nothing without the verifier, which stays here. */
async function byBrowser(options: LoginOptions): Promise<LoggedIn> {
  const { kept: _, ...place } = await chosenGateway(options);
  await isGood(place); // where nobody answers, no browser finds anybody either
  const [verifier, state] = [randomBytes(32).toString('base64url'), randomBytes(32).toString('base64url')];
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const loopback = await listenForCode(state, PATIENCE);
  try {
    const asked = { port: String(loopback.port), challenge, state, client: machineName() };
    const query = new URLSearchParams(options.as === undefined ? asked : { ...asked, as: options.as });
    const address = `${place.gateway}/login/tool?${query}`;
    process.stderr.write(`Confirm the login in your browser:\n  ${address}\n`);
    if (options.browser) open(address);
    const code = await loopback.code;
    return [place, await askRemote<KeptToken>(place, 'POST', '/api/v1/tokens', { body: { code, verifier } })];
  } finally {
    loopback.close();
  }
}

async function byLink({ as, gateway: named, ca }: LoginOptions, link: string): Promise<LoggedIn> {
  const [, where = '', code = ''] = /^([^#]+)\/login#([A-Za-z0-9_-]{43})$/.exec(link) ?? [];
  const gateway = where === '' ? '' : gatewayAt(where);
  if (gateway === '' || (named !== undefined && gatewayAt(named) !== gateway))
    throw new DaypassError('usage', 'This is not a login link of the gateway.', {
      hint: 'https://…/login#…, in quotes',
    });
  const body = { link: code, client: machineName(), ...(as === undefined ? {} : { as }) };
  const place = await placeOf(gateway, ca);
  return [place, await askRemote<KeptToken>(place, 'POST', '/api/v1/tokens', { body })];
}

/** As the gateway takes it. */
function machineName(): string {
  const name = hostname().replace(/[^A-Za-z0-9._-]/g, '-');
  return /^[A-Za-z0-9]/.test(name) ? name.slice(0, 80) : 'a machine';
}

/** Opens a page where that is possible: where it is not, the address was printed. */
function open(address: string): void {
  const opener = { darwin: 'open', linux: 'xdg-open' }[String(process.platform)];
  if (opener === undefined) return;
  const child = spawn(opener, [address], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}

/**
 * The gateway that is meant, logged in: by the browser when that is needed and somebody is there to do it.
 * @throws DaypassError `usage`, `not_logged_in`, `no_gateway`, `token_file`
 */
export async function loggedInByNow(options: RemoteOptions): Promise<Place & { readonly kept: KeptToken }> {
  await checkPrivate(tokenFile());
  const { kept, ...place } = await chosenGateway(options);
  if (kept !== null && (await isGood(place, kept.token))) return { ...place, kept };
  if (!process.stdin.isTTY || !process.stderr.isTTY) throw notLoggedIn(place.gateway);
  const [{ gateway, ca }, login] = await byBrowser({ ...options, gateway: place.gateway, browser: true });
  const fresh = { ...login, ca };
  await keepToken(gateway, fresh);
  return { gateway, ca, kept: fresh };
}

/** Whether a token, or none, lets somebody in. @throws DaypassError `no_gateway` */
async function isGood(place: Place, token?: string): Promise<boolean> {
  try {
    await askRemote(place, 'GET', '/api/v1/tokens/current', token === undefined ? {} : { token });
    return true;
  } catch (thrown) {
    if (thrown instanceof DaypassError && thrown.code === 'not_logged_in') return false;
    throw thrown;
  }
}

/** `daypass logout` of this command line. */
export async function logOutHere(options: RemoteOptions): Promise<void> {
  await withRemote(options, async () => {
    const { kept, ...place } = await loggedInGateway(options);
    const { gateway } = place;
    await ended(place, kept.token);
    await keepToken(gateway, null);
    tell(options, { gateway, subject: kept.subject }, () => `logged out at ${gateway}`);
  });
}

/** A token that is over already needs no end. */
async function ended(place: Place, token: string): Promise<void> {
  try {
    await askRemote(place, 'DELETE', '/api/v1/tokens/current', { token });
  } catch (thrown) {
    if (!(thrown instanceof DaypassError) || thrown.code !== 'not_logged_in') throw thrown;
  }
}

interface Myself {
  readonly subject: string;
  readonly name: string | null;
  readonly kind: string | null;
  readonly groups: readonly string[];
  readonly duties: readonly string[];
  readonly client: string;
  readonly expiresAt: string;
}

/** `daypass whoami`. */
export function whoamiCommand(): Command {
  const command = new Command('whoami').description('who this command line is logged in as, and until when');
  return withRemoteOptions(command).action((options: RemoteOptions) =>
    withRemote(options, async () => {
      const { kept, ...place } = await loggedInGateway(options);
      const { gateway } = place;
      const me = await askRemote<Myself>(place, 'GET', '/api/v1/tokens/current', { token: kept.token });
      tell(options, { gateway, ...me }, ({ subject, name, kind, groups, duties, client, expiresAt }) =>
        facts([
          ['gateway', gateway],
          ['account', subject],
          ['name', name],
          ['kind', kind],
          ['groups', groups.join(', ') || null],
          ['duties', duties.join(', ') || null],
          ['machine', client],
          ['until', expiresAt],
        ]),
      );
    }),
  );
}
