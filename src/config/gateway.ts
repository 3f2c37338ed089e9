import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { type Address, isLoopback } from './address.js';
import { type AlertSettings, alertsSchema } from './alerts.js';
import { type AuditTargets, auditSchema, toAuditTargets } from './audit.js';
import { type NoticeSettings, noticesSchema, toNoticeSettings } from './notices.js';
import { faultOfPair, isCertificate, isPrivateKey, isSigningKey, isVerificationKey } from './pem.js';
import { type DutySettings, dutiesSchema, type OidcSettings, oidcSchema } from './people.js';
import { type ProxySettings, proxiesSchema } from './proxies.js';
import { PUBLIC_PROBLEM, type PublicSettings, publicFits, publicSchema } from './public.js';
import { type ReviewSettings, reviewsSchema } from './reviews.js';
import * as values from './values.js';

/** The key that signs grants: its PEM text, or the absolute path where one may be created. */
export type SigningKeySource = { readonly pem: string } | { readonly create: string };

/** The certificate of the listeners. */
export interface TlsSettings {
  /** The server's certificate, its chain behind it. */
  readonly cert: string;
  readonly key: string;
  /** Whether HTTP speaks TLS too; if not, a proxy on this machine does. */
  readonly http: boolean;
}

/** The gateway's own settings (`daypass.yaml`), resolved. */
export interface GatewayConfig {
  /** A service is reached at `<service>.<domain>`. */
  readonly domain: string;
  readonly listen: { readonly http: Address; readonly postgres: Address; readonly health: Address };
  /** PEM texts; always there when something is served off loopback. */
  readonly tls: TlsSettings | undefined;
  /** Where others reach it, when that is not where it listens. */
  readonly public: PublicSettings;
  /** Who is believed when they say whom they ask for. */
  readonly proxies: ProxySettings;
  /** A connection string; undefined: the embedded database. */
  readonly database: string | undefined;
  /** A connection string; undefined: grants live in this process. */
  readonly redis: string | undefined;
  /** `create` and undefined (use the data directory) only stand with the embedded database. */
  readonly signingKey: SigningKeySource | undefined;
  /** Keys of before the signing key, PEM: the grants they signed are still believed. */
  readonly verificationKeys: readonly string[];
  /** How long live sessions outlast the loss of the grant store; 0: not at all. */
  readonly stalenessSeconds: number;
  /** How long live sessions outlast a request to stop; 0: not at all. */
  readonly drainSeconds: number;
  /** Who is told of every line of the audit log. */
  readonly audit: AuditTargets;
  /** By which channels people are told what happens, and in which words. */
  readonly notices: NoticeSettings;
  readonly alerts: AlertSettings;
  readonly reviews: ReviewSettings;
  readonly duties: DutySettings;
  /** The company's directory; undefined: nobody logs in by one. */
  readonly oidc: OidcSettings | undefined;
}

const DOMAIN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const DOMAIN_PROBLEM = values.hinted('not a domain', 'lower-case letters, digits, - and dots: gw.example.com');
const HTTP_PROBLEM = values.hinted(
  'HTTP off loopback needs TLS',
  'add tls: { cert: { file: … }, key: { file: … } }, or listen on 127.0.0.1 behind a TLS proxy on this machine',
);
const POSTGRES_PROBLEM = values.hinted(
  'Postgres off loopback needs TLS',
  'add tls: { cert: { file: … }, key: { file: … } }, or listen on 127.0.0.1',
);
const SIGNING_KEY_PROBLEM = values.hinted(
  'a gateway with its own database needs a signing key',
  'openssl genpkey -algorithm ed25519 -out grant.pem, then signing_key: { file: grant.pem }',
);

/** The keys of `daypass.yaml`, each with its own schema. */
function shapeOf(sources: values.Sources) {
  const schemas = values.valueSchemas(sources);
  const { secret, listenAddress } = schemas;
  return {
    domain: z.string().max(180, DOMAIN_PROBLEM).regex(DOMAIN, DOMAIN_PROBLEM),
    listen: z
      .strictObject({ http: listenAddress, postgres: listenAddress, health: listenAddress })
      .refine(portsDiffer, values.hinted('two listeners share one address', 'give each its own port')),
    tls: z
      .strictObject({
        cert: secret.refine(isCertificate, { error: 'not a PEM certificate', abort: true }),
        key: secret.refine(isPrivateKey, { error: 'not an unencrypted PEM private key', abort: true }),
        http: z.boolean().default(true),
      })
      .superRefine(values.faultless(faultOfPair))
      .optional(),
    public: publicSchema(schemas).default({}),
    proxies: proxiesSchema.default({}),
    database: connectionSchema(sources, /^postgres(?:ql)?:\/\//, 'not a PostgreSQL connection string').optional(),
    redis: connectionSchema(sources, /^rediss?:\/\//, 'not a Redis connection string').optional(),
    signing_key: signingKeySchema(sources).optional(),
    verification_keys: z.array(secret.refine(isVerificationKey, 'not an Ed25519 key in PEM')).max(16).default([]),
    staleness: values.durationOrZeroSchema.default(15),
    drain: values.durationOrZeroSchema.default(30),
    audit: auditSchema(sources).optional(),
    notices: noticesSchema(sources).optional(),
    alerts: alertsSchema.prefault({}),
    reviews: reviewsSchema.prefault({}),
    duties: dutiesSchema.prefault({}),
    oidc: oidcSchema(schemas).optional(),
  };
}

/** The schema of `daypass.yaml`, key by key; what holds between keys: `gatewayRules`. */
export function gatewaySchema(sources: values.Sources) {
  return z.strictObject(shapeOf(sources));
}

/**
 * What must hold between two keys. Each rule looks at its own keys alone, so that a fault elsewhere in the file does
 * not hide it.
 */
export function gatewayRules({ shape }: ReturnType<typeof gatewaySchema>): z.ZodType[] {
  const { domain, listen, tls, public: outside, database, signing_key } = shape;
  const { postgres, http } = listen.shape;
  return [
    z
      .object({ listen: z.object({ postgres }), tls })
      .refine((it) => isLoopback(it.listen.postgres.host) || it.tls !== undefined, {
        error: POSTGRES_PROBLEM,
        path: ['listen', 'postgres'],
      }),
    z
      .object({ listen: z.object({ http }), tls })
      .refine((it) => isLoopback(it.listen.http.host) || it.tls?.http === true, {
        error: HTTP_PROBLEM,
        path: ['listen', 'http'],
      }),
    z
      .object({ domain, tls, public: outside })
      .refine((it) => publicFits(it.public.url, it.domain, it.tls?.http === true), {
        error: PUBLIC_PROBLEM,
        path: ['public', 'url'],
      }),
    z
      .object({ database, signing_key })
      .refine((it) => it.database === undefined || (it.signing_key !== undefined && 'pem' in it.signing_key), {
        error: SIGNING_KEY_PROBLEM,
        path: ['signing_key'],
      }),
  ];
}

/** The parsed file in the gateway's own words. */
export function toGatewayConfig(file: z.output<ReturnType<typeof gatewaySchema>>): GatewayConfig {
  const { domain, listen, tls, public: outside, proxies, database, redis } = file;
  const { signing_key: signingKey, verification_keys: verificationKeys } = file;
  const { staleness: stalenessSeconds, drain: drainSeconds, duties, oidc, alerts, reviews } = file;
  const stores = { database, redis, signingKey, verificationKeys };
  const audit = toAuditTargets(file.audit);
  const notices = toNoticeSettings(file.notices);
  const told = { audit, notices, alerts, reviews };
  return {
    domain,
    listen,
    tls,
    public: outside,
    proxies,
    ...stores,
    stalenessSeconds,
    drainSeconds,
    duties,
    oidc,
    ...told,
  };
}

function portsDiffer(listen: Readonly<Record<string, Address>>): boolean {
  const taken = Object.values(listen)
    .filter(({ port }) => port !== 0)
    .map(({ host, port }) => `${host} ${port}`);
  return new Set(taken).size === taken.length;
}

/** A connection string is a secret. An environment variable that is not set means: none. */
function connectionSchema(sources: values.Sources, form: RegExp, problem: string) {
  return values.secretReferenceSchema.transform((reference, context) => {
    if ('env' in reference && !sources.env[reference.env]) return undefined;
    const read = values.readSecret(reference, sources);
    if (!read.ok) return values.refuse(context, read.problem);
    return form.test(read.value) ? read.value : values.refuse(context, problem);
  });
}

function signingKeySchema(sources: values.Sources) {
  return values.secretReferenceSchema.transform((reference, context): SigningKeySource => {
    if ('file' in reference) {
      const path = resolve(sources.directory, reference.file);
      if (!existsSync(path)) return { create: path };
    }
    const read = values.readSecret(reference, sources);
    if (!read.ok) return values.refuse(context, read.problem);
    return isSigningKey(read.value) ? { pem: read.value } : values.refuse(context, 'not an Ed25519 private key in PEM');
  });
}
