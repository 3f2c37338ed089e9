import { z } from 'zod';
import { readScramVerifier } from './scram.js';
import { readWindow } from './window.js';

/** `typ` of a grant's token: a token made for anything else is not a grant. */
export const TOKEN_TYPE = 'daypass-grant+jwt';
export const ISSUER = 'daypass';
export const ALGORITHM = 'EdDSA';

/** The last second of the year 9999: a time beyond it is nonsense, not patience. */
const LAST_SECOND = 253_402_300_799;

/** Seconds since the epoch (RFC 7519 NumericDate, integers only). */
const seconds = z.int().min(0).max(LAST_SECOND);

/** How many groups a grant may name, and how long each may be. */
export const MAX_GROUPS = 64;
export const MAX_GROUP = 128;
/** How many rules a grant may be narrowed to, and how long the text of each may be. */
export const MAX_RULES = 64;
const MAX_RULE = 2_000;

/** Every claim of a grant. Unknown ones are refused: a later claim may narrow, and ignoring it would widen. */
export const claimsSchema = z.strictObject({
  iss: z.literal(ISSUER),
  /** The service. */
  aud: z.string().min(1),
  /** The principal. */
  sub: z.string().min(1),
  /** The grant's id. */
  jti: z.string().regex(/^[0-9A-Za-z]{22}$/),
  iat: seconds,
  nbf: seconds,
  exp: seconds,
  role: z.string().min(1),
  /** The sponsor. */
  spo: z.string().min(1),
  /** The reason. */
  rsn: z.string().min(1),
  /** Lane and owner of the service when the grant was given. */
  lan: z.string(),
  own: z.string(),
  /** How often it was renewed. */
  rnw: z.int().min(0),
  /** The person's groups when the grant was given. */
  grp: z.array(z.string().min(1).max(MAX_GROUP)).max(MAX_GROUPS).optional(),
  /** The access request it comes from, and the NDA that request named. */
  req: z.uuid().optional(),
  nda: z.uuid().optional(),
  /** Weekly hours during which it may be used. */
  win: z
    .string()
    .refine((text) => readWindow(text).ok)
    .optional(),
  /** The texts of its role's rules that remain. */
  only: z.array(z.string().min(1).max(MAX_RULE)).min(1).max(MAX_RULES).optional(),
  /** Confirmation (RFC 7800): SHA-256 of the handle's secret, base64url; and the SCRAM verifier of the whole handle. */
  cnf: z.strictObject({
    'dp:s256': z.string().regex(/^[0-9A-Za-z_-]{43}$/),
    'dp:scram': z
      .string()
      .refine((text) => readScramVerifier(text) !== null)
      .optional(),
  }),
});

export type GrantClaims = z.infer<typeof claimsSchema>;

/** A token names its algorithm, type and key, and nothing else: `crit`, `jku`, `x5u`, `jwk`, `b64` are not there to be obeyed. */
export const headerSchema = z.strictObject({
  alg: z.literal(ALGORITHM),
  typ: z.literal(TOKEN_TYPE),
  kid: z.string(),
});
