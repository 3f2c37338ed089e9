import { z } from 'zod';
import type { Address, WebAddress } from './address.js';
import { hinted, type ValueSchemas } from './values.js';

/** Where people and their clients reach the gateway, when that is not where it listens: `public:` of `daypass.yaml`. */
export interface PublicSettings {
  /** `https://gw.example.com:8443`: the origin of the gateway's own pages. Services are at `<service>.` of its host. */
  readonly url?: string | undefined;
  readonly postgres?: Address | undefined;
}

const BARE_PROBLEM = hinted('not an origin', 'scheme, host and port alone: https://gw.example.com:8443');

/** `public:` of `daypass.yaml`; what it has to do with `domain` and `tls`: `publicFits`. */
export function publicSchema({ url, address }: ValueSchemas) {
  return z.strictObject({
    url: url
      .refine(({ basePath }) => basePath === '', { error: BARE_PROBLEM, abort: true })
      .transform(({ origin }: WebAddress) => origin)
      .optional(),
    postgres: address.optional(),
  });
}

export const PUBLIC_PROBLEM = hinted(
  'not an address that browsers could reach this gateway at',
  'the host is `domain`; https:// unless that is localhost and the gateway speaks no TLS for HTTP',
);

/** Whether a public address is one of this gateway: passkeys and cookies are of its domain, and off `localhost` of TLS alone. */
export function publicFits(url: string | undefined, domain: string, tls: boolean): boolean {
  if (url === undefined) return true;
  const { hostname, protocol } = new URL(url);
  const mayBePlain = !tls && (domain === 'localhost' || domain.endsWith('.localhost'));
  return hostname === domain && (protocol === 'https:' || mayBePlain);
}
