import { z } from 'zod';
import { type Address, isLoopback, type WebAddress } from './address.js';
import { isCertificate } from './pem.js';
import { hinted, type Sources, valueSchemas } from './values.js';

/** Where lines of the audit log are posted. */
export interface WebhookTarget {
  readonly url: WebAddress;
  /** `whsec_` and the key in base64: what signs every post. */
  readonly secret: string;
}

/** Where lines of the audit log are sent as syslog. */
export interface SyslogTarget {
  readonly address: Address;
  readonly protocol: 'tcp' | 'udp' | 'tls';
  /** PEM; the machine's own authorities when not given. */
  readonly ca: string | undefined;
}

/** Who is told of every line of the audit log. */
export interface AuditTargets {
  readonly webhook: WebhookTarget | undefined;
  readonly syslog: SyslogTarget | undefined;
}

/** Standard Webhooks, "Signature scheme": 24 to 64 bytes. */
const SECRET = /^whsec_(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const SECRET_PROBLEM = hinted(
  'not a webhook secret',
  'whsec_ and 24 to 64 random bytes in base64: echo "whsec_$(openssl rand -base64 32)"',
);
const PLAIN_PROBLEM = hinted('a webhook off loopback needs TLS', 'https://…');

/** A receiver of signed posts. */
export function webhookSchema(sources: Sources) {
  const { secret, url } = valueSchemas(sources);
  return z.strictObject({
    url: url.refine(isSafe, PLAIN_PROBLEM),
    secret: secret.refine((text) => SECRET.test(text), SECRET_PROBLEM),
  });
}

/** `audit:` of `daypass.yaml`. */
export function auditSchema(sources: Sources) {
  const { secret, address } = valueSchemas(sources);
  return z.strictObject({
    webhook: webhookSchema(sources).optional(),
    syslog: z
      .strictObject({
        address,
        protocol: z.enum(['tcp', 'udp', 'tls']),
        ca: secret.refine(isCertificate, 'not a PEM certificate').optional(),
      })
      .refine(({ protocol, ca }) => ca === undefined || protocol === 'tls', {
        error: hinted('a certificate authority is for TLS', 'protocol: tls'),
        path: ['ca'],
      })
      .optional(),
  });
}

/** The parsed key in the gateway's own words. */
export function toAuditTargets(file: z.output<ReturnType<typeof auditSchema>> | undefined): AuditTargets {
  const { webhook, syslog } = file ?? {};
  return { webhook, syslog: syslog && { ...syslog, ca: syslog.ca } };
}

function isSafe({ origin }: WebAddress): boolean {
  const { protocol, hostname } = new URL(origin);
  return protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''));
}
