import { createRemoteJWKSet, type JWTVerifyGetKey, customFetch as joseFetch } from 'jose';
import * as oidc from 'openid-client';
import type { Clock } from '../clock.js';
import { isOnThisMachine, type OidcSettings } from '../config/people.js';
import { DaypassError, messageOf } from '../errors.js';
import { askProvider, PROVIDER_LIMIT } from './provider-fetch.js';

/** What the provider said of itself counts for so long, milliseconds. */
const FRESH = 3_600_000;
/** Signatures that anybody can check and only the provider can make. */
export const SIGNATURES: readonly string[] = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

/** What is known of the provider. */
export interface Known {
  readonly configuration: oidc.Configuration;
  /** The keys it signs with. */
  readonly keys: JWTVerifyGetKey;
  readonly at: number;
}

/** The identity provider. It is asked about itself when somebody logs in, so that a gateway starts without it. */
export class Provider {
  readonly settings: OidcSettings;
  readonly #clock: Clock;
  #known: Known | null = null;
  #asking: Promise<Known> | null = null;

  constructor(settings: OidcSettings, clock: Clock) {
    this.settings = settings;
    this.#clock = clock;
  }

  /** What was learnt before, if anything was: nobody is asked. */
  get known(): Known | null {
    return this.#known;
  }

  /**
   * What the provider says of itself. Asked again after an hour; what it said before stays when it does not answer then.
   * @throws DaypassError `directory_unavailable`
   */
  async learn(): Promise<Known> {
    const known = this.#known;
    if (known !== null && this.#clock.monotonic() - known.at < FRESH) return known;
    this.#asking ??= this.#discover().finally(() => {
      this.#asking = null;
    });
    try {
      return await this.#asking;
    } catch (cause) {
      if (known !== null) return known;
      throw new DaypassError('directory_unavailable', `The identity provider cannot be used: ${reasonOf(cause)}`, {
        cause,
      });
    }
  }

  async #discover(): Promise<Known> {
    const { issuer, clientId, clientSecret } = this.settings;
    const near = isOnThisMachine(issuer);
    const configuration = await oidc.discovery(new URL(issuer), clientId, clientSecret, authenticate(clientSecret), {
      timeout: PROVIDER_LIMIT / 1_000,
      [oidc.customFetch]: askProvider,
      execute: [oidc.enableNonRepudiationChecks, ...(near ? [oidc.allowInsecureRequests] : [])],
    });
    const { jwks_uri: uri } = configuration.serverMetadata();
    if (uri === undefined || !(uri.startsWith('https:') || near)) throw new Error('it names no keys');
    const keys = createRemoteJWKSet(new URL(uri), { timeoutDuration: PROVIDER_LIMIT, [joseFetch]: askProvider });
    this.#known = { configuration, keys, at: this.#clock.monotonic() };
    return this.#known;
  }
}

/** By the header, unless the provider takes the secret in the form alone (OpenID Connect Discovery: the header is its default). */
function authenticate(secret: string): oidc.ClientAuth {
  const [basic, post] = [oidc.ClientSecretBasic(secret), oidc.ClientSecretPost(secret)];
  return (server, ...rest) => {
    const { token_endpoint_auth_methods_supported: ways = ['client_secret_basic'] } = server;
    return (ways.includes('client_secret_basic') ? basic : post)(server, ...rest);
  };
}

/** What went wrong, with what stands behind it: the libraries' own messages say little. */
export function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : null;
  return cause === null ? messageOf(thrown) : `${messageOf(thrown)} (${reasonOf(cause)})`;
}

/** Whether the provider did not answer, rather than answered something that is refused. */
export function isOutage(thrown: unknown): boolean {
  if (thrown instanceof DaypassError) return thrown.code === 'directory_unavailable';
  if (thrown instanceof oidc.ResponseBodyError) return thrown.status >= 500;
  if (!(thrown instanceof Error)) return false;
  if (/^(?:OAUTH_TIMEOUT|OAUTH_ABORT|ERR_JWKS_TIMEOUT|OAUTH_RESPONSE_IS_NOT_CONFORM)$/.test(codeOf(thrown)))
    return true;
  return thrown.message === 'fetch failed' || thrown.name === 'TimeoutError' || isOutage(thrown.cause);
}

function codeOf(thrown: Error): string {
  return 'code' in thrown ? String(thrown.code) : '';
}
