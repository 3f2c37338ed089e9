import { z } from 'zod';
import { isLoopback } from './address.js';
import { hinted, type ValueSchemas } from './values.js';

/** `group:<name>`: how a policy names a group. */
export const GROUP = /^group:[a-z0-9][a-z0-9._-]{0,62}$/;

/** The groups whose members have a duty on the gateway itself, without `group:`. */
export interface DutySettings {
  readonly operator: readonly string[];
  readonly reviewer: readonly string[];
}

/** The company's directory: an OpenID provider, and which of its claims say what. */
export interface OidcSettings {
  /** As the provider calls itself (`iss`). */
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** `openid` among them. */
  readonly scopes: readonly string[];
  readonly groupsClaim: string;
  readonly subjectClaim: string;
  readonly nameClaim: string;
}

const GROUPS = z
  .array(z.string().regex(GROUP, hinted('not a group', 'group:<name>, for example group:platform')))
  .max(100)
  .default([]);

/** `duties:`; without it nobody has any over the network. */
export const dutiesSchema = z
  .strictObject({ operator: GROUPS, reviewer: GROUPS })
  .transform(({ operator, reviewer }): DutySettings => ({ operator: named(operator), reviewer: named(reviewer) }));

/** RFC 6749 section 3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
const ISSUER_PROBLEM = hinted(
  'not an issuer',
  'https://… without user, query or fragment, as the provider calls itself; http:// on this machine alone',
);
const claim = z.string().min(1).max(200);

/** `oidc:`. */
export function oidcSchema({ secret }: ValueSchemas) {
  return z
    .strictObject({
      issuer: z.string().refine(isIssuer, ISSUER_PROBLEM),
      client_id: z.string().min(1).max(500),
      client_secret: secret,
      scopes: z.array(z.string().max(200).regex(SCOPE, 'not a scope')).max(50).default(['openid', 'profile', 'email']),
      groups_claim: claim.default('groups'),
      subject_claim: claim.default('preferred_username'),
      name_claim: claim.default('name'),
    })
    .transform(
      (file): OidcSettings => ({
        issuer: file.issuer,
        clientId: file.client_id,
        clientSecret: file.client_secret,
        scopes: [...new Set(['openid', ...file.scopes])],
        groupsClaim: file.groups_claim,
        subjectClaim: file.subject_claim,
        nameClaim: file.name_claim,
      }),
    );
}

/** Whether an address leads to this machine alone, so that plain HTTP tells nobody. */
export function isOnThisMachine(address: string): boolean {
  return URL.canParse(address) && isLoopback(new URL(address).hostname.replace(/^\[(.*)\]$/, '$1'));
}

/** OpenID Connect Discovery 1.0 section 3: https, no query, no fragment. */
function isIssuer(text: string): boolean {
  if (!/^https?:\/\/[^\s\\?#@]+$/.test(text) || !URL.canParse(text)) return false;
  return text.startsWith('https:') || isOnThisMachine(text);
}

function named(groups: readonly string[]): readonly string[] {
  return groups.map((group) => group.slice('group:'.length));
}
