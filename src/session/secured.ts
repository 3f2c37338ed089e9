import { constants } from 'node:crypto';

/** What TLS with clients is, whatever they speak within it. */
export const SECURED = {
  /** RFC 8996: 1.0 and 1.1 are not spoken any more. */
  minVersion: 'TLSv1.2',
  /** Nor is anything agreed on anew (TLS 1.2): that costs its server much, and its client little. */
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
} as const;
