import type { WebAddress } from '../../config/address.js';
import { DaypassError } from '../../errors.js';
import type { Admission } from '../../gate/admission.js';
import type { Grant } from '../../grant/grant.js';
import type { Header } from '../action.js';
import { canonical } from '../headers/headers.js';

/** What an `https:` service is verified by, and what the gateway shows of itself: PEM texts. */
export interface UpstreamTls {
  /** The authorities that are believed, instead of the public ones. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** By which headers a service is told who asks, besides the signed assertion. */
export interface IdentityHeaders {
  readonly subject?: string | undefined;
  readonly role?: string | undefined;
  /** All groups in one header. */
  readonly groups?: string | undefined;
}

/** As what a service is spoken to. */
export interface Addressed {
  /** The Host that it is sent. */
  readonly host: string;
  /** What it may call itself in a redirect: schemes, hosts and ports. */
  readonly origins: readonly string[];
  /** What stands before every path of its own. */
  readonly basePath: string;
  /** Whether a client's own `Authorization` reaches it. */
  readonly passesAuthorization: boolean;
}

/** Where a service is and what the gateway adds to each of its requests. */
export class HttpUpstream {
  readonly url: WebAddress;
  /** Injected headers, credentials among them. */
  readonly headers: readonly Header[];
  /** Their names as compared: see `canonical`. */
  readonly injected: readonly string[];
  readonly tls: UpstreamTls;
  readonly identity: IdentityHeaders;
  /** Whether it is sent a client's own `Authorization`. */
  readonly passesAuthorization: boolean;
  /** Whether it takes no parameters from bodies. */
  readonly queryOnly: boolean;
  /** How long it may take until it begins to answer, milliseconds; undefined: as long as any service. */
  readonly answersWithin: number | undefined;
  readonly #preservesHost: boolean;
  /** The same for the same host: what depends on it is known again by it. */
  #addressed: Addressed;

  constructor(
    url: WebAddress,
    headers: readonly Header[],
    more: {
      readonly tls?: UpstreamTls | undefined;
      readonly identity?: IdentityHeaders | undefined;
      readonly preservesHost?: boolean;
      readonly passesAuthorization?: boolean;
      readonly queryOnly?: boolean;
      readonly answersWithin?: number | undefined;
    } = {},
  ) {
    const { tls = {}, identity = {}, preservesHost = false, passesAuthorization = false, queryOnly = false } = more;
    this.url = url;
    this.tls = tls;
    this.identity = identity;
    this.passesAuthorization = passesAuthorization;
    this.queryOnly = queryOnly;
    this.answersWithin = more.answersWithin;
    this.#preservesHost = preservesHost;
    const { origin, basePath } = url;
    this.#addressed = { host: new URL(origin).host, origins: [origin], basePath, passesAuthorization };
    this.headers = headers.map(([name, value]) => [name.toLowerCase(), value] as const);
    const names = [...headers.map(([name]) => name), ...namesOf(identity)];
    this.injected = names.map(canonical);
  }

  /** @param host - what the client asked for: a name that selects this service, with or without a port */
  addressedAs(host: string): Addressed {
    if (!this.#preservesHost) return this.#addressed;
    const preserved = host.toLowerCase();
    if (this.#addressed.host !== preserved) {
      const origins = [this.url.origin, `http://${preserved}`, `https://${preserved}`];
      this.#addressed = { ...this.#addressed, host: preserved, origins };
    }
    return this.#addressed;
  }

  /** What is added to a request that this person makes in this role; of no groups too, so that nobody else can name any. */
  headersFor({ principal, role, groups }: Pick<Grant, 'principal' | 'role' | 'groups'>): readonly Header[] {
    const { subject, role: named, groups: listed } = this.identity;
    return [
      ...this.headers,
      ...(subject === undefined ? [] : [[subject.toLowerCase(), principal] as const]),
      ...(named === undefined ? [] : [[named.toLowerCase(), role] as const]),
      ...(listed === undefined ? [] : [[listed.toLowerCase(), groups.map(wordGroup).join(',')] as const]),
    ];
  }
}

/** A group in a list that commas part: whatever else its name holds is percent-encoded, so that one is never read as two. */
function wordGroup(name: string): string {
  return name.replace(/[^A-Za-z0-9._@:/+~-]/gu, (other) =>
    [...Buffer.from(other)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

/** The names in use. */
export function namesOf({ subject, role, groups }: IdentityHeaders): string[] {
  return [subject, role, groups].filter((name) => name !== undefined);
}

/** The upstream of an admitted session's service, under the policy in force. */
export function upstreamOf(admission: Admission): HttpUpstream {
  const { upstream } = admission.policy;
  if (upstream instanceof HttpUpstream) return upstream;
  throw new DaypassError('not_http', `the service ${admission.policy.name} is not served over HTTP`);
}
