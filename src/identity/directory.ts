import { decodeProtectedHeader } from 'jose';
import * as oidc from 'openid-client';
import type pg from 'pg';
import type { Clock } from '../clock.js';
import type { OidcSettings } from '../config/people.js';
import { DaypassError } from '../errors.js';
import type { Log } from '../log.js';
import type { Audit } from './audited.js';
import { type Claims, readClaims, type Told } from './claims.js';
import { type Employee, employeeOf } from './employees.js';
import { Flows, type Returned } from './flows.js';
import type { DirectoryLogin, Given, Logins } from './logins.js';
import { Logouts, readLogoutToken } from './logouts.js';
import { isOutage, type Known, Provider, reasonOf, SIGNATURES } from './provider.js';
import { PROVIDER_LIMIT } from './provider-fetch.js';

export interface DirectoryParts {
  readonly pool: pg.Pool;
  readonly logins: Logins;
  readonly settings: OidcSettings;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
}

/** Why a login by the directory came to nothing. */
export type Unfinished =
  /** This browser did not begin it, or it is over. */
  | 'not_begun'
  /** The directory said no, or the person did there. */
  | 'refused'
  /** What the directory sent is not believed. */
  | 'invalid'
  /** The directory ended the session meanwhile. */
  | 'ended'
  | Extract<Employee, { ok: false }>['why'];

/** What came of a login that came back. */
export type Finished =
  | { readonly ok: true; readonly login: Given; readonly target: string }
  | { readonly ok: false; readonly why: Unfinished };

/**
 * Logins by the company's directory: OpenID Connect, authorization code with PKCE. Methods throw
 * `DaypassError('directory_unavailable')` when the provider does not answer, and `ledger_unavailable` when the ledger does not.
 */
export class Directory {
  readonly #parts: DirectoryParts;
  readonly #provider: Provider;
  readonly #flows: Flows;
  readonly #logouts: Logouts;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
    this.#provider = new Provider(parts.settings, parts.clock);
    this.#flows = new Flows(parts.pool, parts.clock);
    this.#logouts = new Logouts(parts.pool, parts.clock);
  }

  /**
   * Begins a login.
   * @param browser - the secret that binds it to this browser
   * @param target - a path of the gateway's own host to come back to
   * @returns where the browser is to go
   */
  async begin(browser: string, target: string, redirectUri: string): Promise<string> {
    const { configuration } = await within(this.#provider.learn());
    const { issuer } = configuration.serverMetadata();
    const { state, nonce, verifier } = await this.#flows.begin(issuer, browser, target);
    const parameters = {
      ...{ redirect_uri: redirectUri, scope: this.#parts.settings.scopes.join(' '), state, nonce },
      ...{ code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' },
    };
    return oidc.buildAuthorizationUrl(configuration, parameters).href;
  }

  /**
   * Finishes a login in the browser that began it: once, whatever comes of it.
   * @param address - the whole address that the directory led the browser to
   * @param previous - the secret of the login that the browser holds already
   */
  async finish(address: URL, browser: string, previous: string | null): Promise<Finished> {
    const known = await within(this.#provider.learn());
    const { issuer } = known.configuration.serverMetadata();
    const [state = '', ...more] = address.searchParams.getAll('state');
    const flow = more.length > 0 ? null : await this.#flows.take(issuer, browser, state);
    if (flow === null) return { ok: false, why: 'not_begun' };
    const told = await this.#askedOf(known, address, flow);
    return 'why' in told ? { ok: false, why: told.why } : this.#logIn(told, flow, previous);
  }

  /**
   * Takes a logout token.
   * @returns null when it was taken, else why it is refused
   */
  async logOut(token: string): Promise<string | null> {
    const { pool: _, logins, settings, clock, log } = this.#parts;
    const known = await within(this.#provider.learn());
    const read = await within(readLogoutToken(token, known, settings.clientId, clock.wall()));
    const why = !read.ok ? read.why : (await this.#logouts.remember(read.notice, read.jti)) ? null : 'it came before';
    if (!read.ok || why !== null) {
      log.warn({ why }, 'a logout token of the directory is refused');
      return why;
    }
    const ended = await logins.endNamed(read.notice);
    await this.#logouts.done(read.notice, read.jti);
    log.info({ ...read.notice, logins: ended }, 'the directory logged somebody out');
    return null;
  }

  /** Where a person logs out of the directory itself; null when it has no such page, or nobody has logged in yet. */
  get logoutPage(): string | null {
    const configuration = this.#provider.known?.configuration;
    if (configuration?.serverMetadata().end_session_endpoint === undefined) return null;
    return oidc.buildEndSessionUrl(configuration).href;
  }

  async #askedOf(known: Known, address: URL, flow: Returned): Promise<Told | { readonly why: 'refused' | 'invalid' }> {
    try {
      return await within(this.#claims(known, address, flow));
    } catch (cause) {
      if (isOutage(cause)) throw unavailable(cause);
      const why = cause instanceof oidc.AuthorizationResponseError ? 'refused' : 'invalid';
      this.#parts.log.warn({ err: reasonOf(cause) }, 'an answer of the directory is refused');
      return { why };
    }
  }

  /** What the directory says of whoever logged in: its ID token, and UserInfo for what that does not say. */
  async #claims({ configuration }: Known, address: URL, flow: Returned): Promise<Told> {
    const { settings } = this.#parts;
    const { issuer, userinfo_endpoint } = configuration.serverMetadata();
    const checks = { expectedState: flow.state, expectedNonce: flow.nonce, pkceCodeVerifier: flow.verifier };
    const tokens = await oidc.authorizationCodeGrant(configuration, address, { ...checks, idTokenExpected: true });
    const token = tokens.claims();
    if (token === undefined) throw new Error('there is no ID token');
    const { alg = '' } = decodeProtectedHeader(tokens.id_token ?? '');
    if (!SIGNATURES.includes(alg)) throw new Error(`the ID token is signed with ${JSON.stringify(alg)}`);
    const { subjectClaim, nameClaim, groupsClaim } = settings;
    const lacks = [subjectClaim, nameClaim, groupsClaim].some((name) => token[name] === undefined);
    const more: Claims =
      lacks && userinfo_endpoint !== undefined
        ? await oidc.fetchUserInfo(configuration, tokens.access_token, token.sub)
        : {};
    return readClaims(issuer, token.sub, { ...more, ...token, sid: token.sid }, settings);
  }

  async #logIn(told: Told, { target, begunAt }: Returned, previous: string | null): Promise<Finished> {
    const { logins, clock, log } = this.#parts;
    const employee = await employeeOf(this.#parts, told, clock.wall());
    if (!employee.ok) return this.#turnedAway(told, employee.why);
    const { subject } = employee;
    const directory: DirectoryLogin = { issuer: told.issuer, sub: told.sub, sid: told.sid };
    const how = { source: 'oidc', previous, by: subject, reason: 'by the directory', directory } as const;
    const login = await logins.begin(subject, how);
    if (login === null) return this.#turnedAway(told, 'closed');
    if (await this.#logouts.came(directory, begunAt)) {
      await logins.endNamed(directory);
      return this.#turnedAway(told, 'ended');
    }
    log.info({ principal: subject, groups: told.groups.length }, 'logged in by the directory');
    return { ok: true, login, target };
  }

  #turnedAway({ issuer, sub, subject }: Told, why: Unfinished): Finished {
    this.#parts.log.warn({ issuer, sub, subject, why }, 'a login by the directory is refused');
    return { ok: false, why };
  }
}

/** What the provider is asked for must come within its limit, in however many answers. */
async function within<T>(asked: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unavailable(new Error('it took too long'))), PROVIDER_LIMIT);
  });
  try {
    return await Promise.race([asked, late]);
  } catch (thrown) {
    throw isOutage(thrown) ? unavailable(thrown) : thrown;
  } finally {
    clearTimeout(timer);
  }
}

function unavailable(cause: unknown): DaypassError {
  if (cause instanceof DaypassError) return cause;
  return new DaypassError('directory_unavailable', `The identity provider did not answer: ${reasonOf(cause)}`, {
    cause,
  });
}
