import type { WebAddress } from '../config/address.js';
import { DaypassError } from '../errors.js';
import type { Admission } from '../gate/admission.js';
import type { Header } from './action.js';

/** What an `https:` service is verified by, and what the gateway shows of itself: PEM texts. */
export interface UpstreamTls {
  /** The authorities that are believed, instead of the public ones. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Where a service is and what the gateway adds to each of its requests. */
export class HttpUpstream {
  readonly url: WebAddress;
  /** Injected headers, credentials among them. */
  readonly headers: readonly Header[];
  /** Their names as compared: lower case, `-` for `_`. */
  readonly injected: readonly string[];
  readonly tls: UpstreamTls;

  constructor(url: WebAddress, headers: readonly Header[], tls: UpstreamTls = {}) {
    this.url = url;
    this.tls = tls;
    this.headers = headers.map(([name, value]) => [name.toLowerCase(), value] as const);
    this.injected = headers.map(([name]) => name.toLowerCase().replaceAll('_', '-'));
  }
}

/** The upstream of an admitted session's service, under the policy in force. */
export function upstreamOf(admission: Admission): HttpUpstream {
  const { upstream } = admission.policy;
  if (upstream instanceof HttpUpstream) return upstream;
  throw new DaypassError('not_http', `the service ${admission.policy.name} is not served over HTTP`);
}
