import type { IncomingMessage } from 'node:http';
import type { Admission } from '../gate/admission.js';
import type { Session } from '../session/session.js';
import type { Header } from './action.js';
import { type Credential, readCredential } from './credential.js';
import type { Refusal } from './deny.js';
import { type Origin, pairs, requestHeaders } from './headers.js';
import { type Selected, selectService } from './host.js';
import { faultOfHeaders } from './request.js';
import type { HttpUpstream } from './target.js';
import { headerLines } from './upstream-request.js';

/** What a service is sent for a head, and what that was made of. */
interface Forwarded {
  readonly upstream: HttpUpstream;
  readonly session: Session;
  readonly origin: Origin;
  readonly lines: string | null;
}

/** The headers of a request, and what follows from them alone: worked out once for all requests that say the same. */
export class Head {
  readonly headers: readonly Header[];
  /** Who was let in by these headers; asked again whether it lives before each use. */
  admission: Admission | null = null;
  readonly #raw: readonly string[];
  readonly #version: string;
  readonly #domain: string;
  #fault: Refusal | null | undefined;
  #selected: Selected | undefined;
  #credential: Credential | undefined;
  #forwarded: Forwarded | undefined;

  /** @param domain - services are reached at `<service>.<domain>` */
  constructor({ rawHeaders, httpVersion }: Pick<IncomingMessage, 'rawHeaders' | 'httpVersion'>, domain: string) {
    this.headers = pairs(rawHeaders);
    this.#raw = rawHeaders;
    this.#version = httpVersion;
    this.#domain = domain;
  }

  /** Whether a request has this very head: every name and value the same, in the same order. */
  isOf({ rawHeaders, httpVersion }: IncomingMessage): boolean {
    const raw = this.#raw;
    if (rawHeaders.length !== raw.length || httpVersion !== this.#version) return false;
    for (let at = 0; at < raw.length; at += 1) if (raw[at] !== rawHeaders[at]) return false;
    return true;
  }

  get fault(): Refusal | null {
    if (this.#fault === undefined) this.#fault = faultOfHeaders(this.#version, this.headers);
    return this.#fault;
  }

  get selected(): Selected {
    this.#selected ??= selectService(this.headers, this.#domain);
    return this.#selected;
  }

  get credential(): Credential {
    if (this.#credential === undefined) this.#credential = readCredential(this.headers);
    return this.#credential;
  }

  /** The header lines that the service is sent, or null: see `headerLines`. What frames the body is not among them. */
  forwarded(upstream: HttpUpstream, session: Session, origin: Origin): string | null {
    const last = this.#forwarded;
    if (last?.upstream === upstream && last.session === session && sameOrigin(last.origin, origin)) return last.lines;
    const headers = requestHeaders(this.headers, upstream.headersFor(session.grant), origin);
    const lines = headerLines(headers.filter(([name]) => name.toLowerCase() !== 'content-length'));
    this.#forwarded = { upstream, session, origin, lines };
    return lines;
  }
}

function sameOrigin(one: Origin, other: Origin): boolean {
  return (
    one.assertion === other.assertion &&
    one.client === other.client &&
    one.host === other.host &&
    one.proto === other.proto
  );
}

/**
 * The heads of the connections that are open, the last of each: the requests of a connection mostly say the same again, and
 * what is known of it is not found out anew.
 */
export class Heads {
  readonly #last = new WeakMap<object, Head>();
  readonly #domain: string;

  constructor(domain: string) {
    this.#domain = domain;
  }

  /** The head of a request. */
  of(req: IncomingMessage): Head {
    const last = this.#last.get(req.socket);
    if (last?.isOf(req)) return last;
    const head = new Head(req, this.#domain);
    this.#last.set(req.socket, head);
    return head;
  }
}
