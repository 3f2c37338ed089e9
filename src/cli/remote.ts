import { readFileSync } from 'node:fs';
import { type IncomingMessage, request as requestPlainly } from 'node:http';
import { request as requestSecurely } from 'node:https';
import { isLoopback } from '../config/address.js';
import { DaypassError, messageOf } from '../errors.js';
import { piecesOf, textOf } from './client.js';
import { type KeptToken, keptTokens } from './token-file.js';

/** How long a gateway may take for an answer unless told, milliseconds. */
const LIMIT = 15_000;

/** Which gateway is meant, as the command line says it. */
export interface Meant {
  readonly gateway?: string;
  /** A file with the certificates that vouch for it. */
  readonly ca?: string;
}

/** Where a gateway is reached. */
export interface Place {
  /** Its address: scheme, host and port. */
  readonly gateway: string;
  /** PEM: the authorities that may vouch for it, in place of the system's. */
  readonly ca?: string | undefined;
}

/** A gateway that is reached over the network, and what was kept of a login there. */
export interface Remote extends Place {
  readonly kept: KeptToken | null;
}

/**
 * A gateway's address: `gw.example.com` or `https://gw.example.com`; `http://` for this machine alone.
 * @throws DaypassError `usage`
 */
export function gatewayAt(text: string): string {
  const full = /^https?:\/\//.test(text) ? text : `https://${text}`;
  const url = URL.canParse(full) ? new URL(full) : null;
  const host = url?.hostname.replace(/^\[(.*)\]$/, '$1') ?? '';
  const here = isLoopback(host) || host.endsWith('.localhost');
  if (url !== null && (url.protocol === 'https:' || here) && url.username === '' && url.password === '')
    return url.origin;
  throw new DaypassError('usage', `${JSON.stringify(text)} is not the address of a gateway.`, {
    hint: 'https://gw.example.com, or http://localhost:8080 on this machine.',
  });
}

/**
 * The gateway that is meant: named, in DAYPASS_GATEWAY, or the only one that somebody logged in at.
 * @throws DaypassError `usage`
 */
export async function chosenGateway({ gateway: named, ca }: Meant): Promise<Remote> {
  const tokens = await keptTokens();
  const only = tokens.size === 1 ? [...tokens.keys()][0] : undefined;
  const text = named ?? (process.env.DAYPASS_GATEWAY || only);
  if (text === undefined) {
    const known = tokens.size === 0 ? '' : ` You are logged in at ${[...tokens.keys()].join(', ')}.`;
    throw new DaypassError('usage', `Which gateway?${known}`, {
      hint: 'Say --gateway <address>, or set DAYPASS_GATEWAY.',
    });
  }
  return { ...(await placeOf(text, ca)), kept: tokens.get(gatewayAt(text)) ?? null };
}

/** A gateway's address, with the authorities that were named, or else remembered with the login there. */
export async function placeOf(text: string, ca: string | undefined): Promise<Place> {
  const gateway = gatewayAt(text);
  return { gateway, ca: ca === undefined ? (await keptTokens()).get(gateway)?.ca : authorities(ca) };
}

/** @throws DaypassError `usage` */
function authorities(path: string): string {
  const text = readCertificates(path);
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new DaypassError('usage', `${path} holds no certificate.`, { hint: '--ca names a file in PEM.' });
}

function readCertificates(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new DaypassError('usage', `The certificates cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** As `chosenGateway`, logged in. @throws DaypassError `not_logged_in` */
export async function loggedInGateway(meant: Meant): Promise<Place & { readonly kept: KeptToken }> {
  const isNamed = meant.gateway !== undefined || Boolean(process.env.DAYPASS_GATEWAY);
  if (!isNamed && (await keptTokens()).size === 0)
    throw new DaypassError('not_logged_in', 'You are not logged in anywhere.', {
      hint: 'daypass login --gateway <address>',
    });
  const { kept, ...place } = await chosenGateway(meant);
  if (kept === null) throw notLoggedIn(place.gateway);
  return { ...place, kept };
}

export function notLoggedIn(gateway: string): DaypassError {
  return new DaypassError('not_logged_in', `You are not logged in at ${gateway}, or that login is over.`, {
    hint: `daypass login --gateway ${gateway}`,
  });
}

export interface RemoteQuestion {
  readonly token?: string;
  readonly body?: object | undefined;
  /** How long the whole answer may take, milliseconds. */
  readonly within?: number | undefined;
}

/**
 * One question, one JSON answer.
 * @throws DaypassError `no_gateway`, `not_logged_in`, `cut_off`, or what the gateway answered
 */
export async function askRemote<Body>(
  place: Place,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  question: RemoteQuestion = {},
): Promise<Body> {
  const { response, answered } = await sent(place, method, path, question);
  try {
    const text = await textOf(response);
    if (!isGood(response)) throw refusalOf(place.gateway, response.statusCode ?? 0, text);
    const answer: Body = parsed(text);
    return answer;
  } finally {
    answered();
  }
}

/**
 * An answer piece by piece, for as long as it goes on.
 * @throws DaypassError as `askRemote`
 */
export async function* streamRemote(place: Place, path: string, token: string): AsyncGenerator<string> {
  const { response, answered } = await sent(place, 'GET', path, { token });
  answered();
  if (!isGood(response)) throw refusalOf(place.gateway, response.statusCode ?? 0, await textOf(response));
  yield* piecesOf(response);
}

/** A redirect is no answer: a token goes nowhere else. */
function isGood({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

/** Asks; `answered` must be called when the answer has come as far as it is waited for. */
async function sent(
  { gateway, ca }: Place,
  method: string,
  path: string,
  { token, body, within = LIMIT }: RemoteQuestion,
): Promise<{ readonly response: IncomingMessage; readonly answered: () => void }> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    accept: 'application/json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(payload === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
  };
  const ask = gateway.startsWith('https:') ? requestSecurely : requestPlainly;
  const asked = ask(`${gateway}${path}`, { method, headers, agent: false, ...(ca === undefined ? {} : { ca }) });
  const timer = setTimeout(() => asked.destroy(new Error(`no answer within ${within / 1_000} s`)), within);
  const answered = () => clearTimeout(timer);
  return new Promise((resolve, reject) => {
    asked.once('response', (response) => resolve({ response, answered }));
    asked.on('error', (cause) => {
      answered();
      reject(unreachable(gateway, cause));
    });
    asked.end(payload);
  });
}

/** What the system calls a certificate that nobody it knows vouches for (x509_verify_cert_error_string(3)). */
const UNKNOWN_AUTHORITY = /SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/;

function unreachable(gateway: string, cause: NodeJS.ErrnoException): DaypassError {
  const hint = UNKNOWN_AUTHORITY.test(cause.code ?? '')
    ? { hint: 'If the gateway has an authority of its own, name its certificate: --ca <file>' }
    : {};
  const why = messageOf(cause) || cause.code;
  return new DaypassError('no_gateway', `No gateway answers at ${gateway}: ${why}`, { cause, ...hint });
}

/** What a gateway answered instead, as an error. */
export function refusalOf(gateway: string, status: number, text: string): DaypassError {
  if (status === 401) return notLoggedIn(gateway);
  const said: { code?: unknown; reason?: unknown; detail?: unknown; hint?: unknown } = parsed(text);
  const code = [said.code, said.reason].find((one) => typeof one === 'string') ?? 'refused';
  const detail = typeof said.detail === 'string' ? said.detail : `The gateway answered ${status}.`;
  return new DaypassError(String(code), detail, typeof said.hint === 'string' ? { hint: said.hint } : {});
}

function parsed<Body>(text: string): Body {
  try {
    const body: Body = JSON.parse(text);
    return body;
  } catch (cause) {
    throw new DaypassError('failed', 'What answered is not a gateway of this version.', { cause });
  }
}
