import { isLoopback } from '../config/address.js';
import { DaypassError, messageOf } from '../errors.js';
import { type KeptToken, keptTokens } from './token-file.js';

/** How long a gateway may take for an answer, milliseconds. */
const LIMIT = 15_000;

/** A gateway that is reached over the network, and what was kept of a login there. */
export interface Remote {
  /** Its address: scheme, host and port. */
  readonly gateway: string;
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
export async function chosenGateway(named: string | undefined): Promise<Remote> {
  const tokens = await keptTokens();
  const only = tokens.size === 1 ? [...tokens.keys()][0] : undefined;
  const text = named ?? (process.env.DAYPASS_GATEWAY || only);
  if (text === undefined) {
    const known = tokens.size === 0 ? '' : ` You are logged in at ${[...tokens.keys()].join(', ')}.`;
    throw new DaypassError('usage', `Which gateway?${known}`, {
      hint: 'Say --gateway <address>, or set DAYPASS_GATEWAY.',
    });
  }
  const gateway = gatewayAt(text);
  return { gateway, kept: tokens.get(gateway) ?? null };
}

/** As `chosenGateway`, logged in. @throws DaypassError `not_logged_in` */
export async function loggedInGateway(named: string | undefined): Promise<{ gateway: string; kept: KeptToken }> {
  const { gateway, kept } = await chosenGateway(named);
  if (kept === null) throw notLoggedIn(gateway);
  return { gateway, kept };
}

export function notLoggedIn(gateway: string): DaypassError {
  return new DaypassError('not_logged_in', `You are not logged in at ${gateway}, or that login is over.`, {
    hint: `daypass login --gateway ${gateway}`,
  });
}

export interface RemoteQuestion {
  readonly token?: string;
  readonly body?: object;
}

/**
 * One question, one JSON answer.
 * @throws DaypassError `no_gateway`, `not_logged_in`, or what the gateway answered
 */
export async function askRemote<Body>(
  gateway: string,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  { token, body }: RemoteQuestion = {},
): Promise<Body> {
  const response = await sent(gateway, path, {
    ...{ method, redirect: 'error', signal: AbortSignal.timeout(LIMIT) },
    headers: {
      accept: 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (response.status === 401) throw notLoggedIn(gateway);
  const text = await response.text();
  if (!response.ok) throw refusalOf(response.status, text);
  const answer: Body = parsed(text);
  return answer;
}

async function sent(gateway: string, path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(`${gateway}${path}`, init);
  } catch (cause) {
    const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    throw new DaypassError('no_gateway', `No gateway answers at ${gateway}: ${messageOf(why)}`, { cause });
  }
}

/** What a gateway answered instead, as an error. */
export function refusalOf(status: number, text: string): DaypassError {
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
