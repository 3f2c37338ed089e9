import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { type Configuration } from 'oidc-provider';
import type { Test } from 'tap';

/** What the directory knows of somebody. */
export interface Account {
  readonly preferred_username?: string;
  readonly name?: string;
  readonly email?: string;
  readonly groups?: unknown;
}

/** A real OpenID provider on loopback, with keys of its own; whoever comes is logged in as `who` without a question. */
export interface RealProvider {
  readonly issuer: string;
  readonly accounts: Map<string, Account>;
  /** The `sub` of who is logged in there next; null: the login is refused. */
  who: string | null;
}

const CLIENT = { client_id: 'daypass', client_secret: 'a secret of the tests' };

/** The lines of `daypass.yaml` that name it. */
export function settingsFor(port: number, more = ''): string {
  return [
    'drain: 0s',
    `oidc:`,
    `  issuer: http://127.0.0.1:${port}`,
    `  client_id: ${CLIENT.client_id}`,
    '  client_secret: { env: OIDC_SECRET }',
    '  scopes: [openid, profile, email, groups]',
    more,
  ].join('\n');
}

export const PROVIDER_ENV = { OIDC_SECRET: CLIENT.client_secret };

/** @param homes - addresses of the gateways that may use it, `http://localhost:8080`; the first hears of logouts */
export async function startRealProvider(t: Test, port: number, homes: readonly string[]): Promise<RealProvider> {
  const issuer = `http://127.0.0.1:${port}`;
  const accounts = new Map<string, Account>();
  const provider = new Provider(issuer, await configurationOf(accounts, homes));
  const state: RealProvider = { issuer, accounts, who: null };
  const answer = provider.callback();
  const server = createServer((req, res) => {
    if (req.url?.startsWith('/interaction/')) void interact(provider, state, req, res);
    else void answer(req, res);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return state;
}

async function configurationOf(accounts: Map<string, Account>, homes: readonly string[]): Promise<Configuration> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return {
    clients: [
      {
        ...CLIENT,
        redirect_uris: homes.map((home) => `${home}/oidc/callback`),
        backchannel_logout_uri: `${homes[0]}/oidc/backchannel-logout`,
        backchannel_logout_session_required: true,
      },
    ],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: 'one' }] },
    // Its own would reach no gateway on this machine.
    fetch: (url, options) => fetch(url, withoutDispatcher(options)),
    cookies: { keys: ['a key of the tests'] },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'], groups: ['groups'] },
    features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ ...accounts.get(sub), sub }) }),
    loadExistingGrant: async (ctx) => {
      const { session, client, provider } = ctx.oidc;
      if (session?.accountId === undefined || client === undefined) return undefined;
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid profile email groups');
      await grant.save();
      return grant;
    },
  };
}

async function interact(provider: Provider, { who }: RealProvider, req: IncomingMessage, res: ServerResponse) {
  const result = who === null ? { error: 'access_denied' } : { login: { accountId: who } };
  await provider.interactionFinished(req, res, result);
}

function withoutDispatcher(options: RequestInit | undefined): RequestInit {
  const { dispatcher: _, ...rest }: RequestInit & { dispatcher?: unknown } = options ?? {};
  return rest;
}
