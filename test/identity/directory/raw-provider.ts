import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import type { Test } from 'tap';
import { listen } from '../../http/gateway.js';

/** A provider that says whatever a test wants, signed with keys that the gateway is told of. */
export interface RawProvider {
  readonly issuer: string;
  /** What its discovery says besides, or instead. */
  metadata: Record<string, unknown>;
  /** Answers the token request; by default with `idToken`. */
  answer: (req: IncomingMessage, res: ServerResponse) => void;
  /** The ID token of the next login. */
  idToken: string;
  sign(claims: JWTPayload, header?: Record<string, unknown>): Promise<string>;
  /** As `sign`, with a key that nobody was told of. */
  forge(claims: JWTPayload): Promise<string>;
}

export async function startRawProvider(t: Test): Promise<RawProvider> {
  const [known, unknown] = await Promise.all([generateKeyPair('RS256'), generateKeyPair('RS256')]);
  const jwk = { ...(await exportJWK(known.publicKey)), alg: 'RS256', use: 'sig', kid: 'one' };
  const server = createServer((req, res) => {
    const json = (body: object) => {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify(body));
    };
    if (req.url === '/.well-known/openid-configuration') return json(discovery(issuer, provider.metadata));
    if (req.url === '/keys') return json({ keys: [jwk] });
    return provider.answer(req, res);
  });
  const issuer = `http://127.0.0.1:${await listen(t, server)}`;
  const signed =
    (key: CryptoKey) =>
    (claims: JWTPayload, header: Record<string, unknown> = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'one', ...header }).sign(key);
  const provider: RawProvider = {
    issuer,
    metadata: {},
    idToken: '',
    answer: (_req, res) => {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ access_token: 'x', token_type: 'bearer', id_token: provider.idToken }));
    },
    sign: signed(known.privateKey),
    forge: signed(unknown.privateKey),
  };
  return provider;
}

function discovery(issuer: string, more: Record<string, unknown>) {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/keys`,
    response_types_supported: ['code'],
    id_token_signing_alg_values_supported: ['RS256'],
    ...more,
  };
}
