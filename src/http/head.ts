import type { Admission } from '../gate/admission.js';
import type { Session } from '../session/session.js';
import type { Header } from './action.js';
import { type Credential, hasForeignAuthorization, readCredential, readCredentialBeside } from './credential.js';
import { headerLines } from './headers/header-line.js';
import { connectionList, membersOf, type Origin, requestHeaders, valuesOf } from './headers/headers.js';
import { type Selected, selectService } from './headers/host.js';
import type { Refusal } from './refusals/deny.js';
import { faultOfHeaders } from './request.js';
import type { HttpUpstream } from './service/target.js';

/** The versions that are spoken. */
export type HttpVersion = '1.0' | '1.1';

/** How the end of a request's body is found (RFC 9112 section 6.3): after so many bytes, or by its chunks. */
export type RequestFraming = number | 'chunked';

/** What a client expects before it sends its body (RFC 9110 section 10.1.1): `other` is what nobody understands. */
export type Expectation = 'none' | 'continue' | 'other';

/** What a service is sent for a head, and what that was made of. */
interface Forwarded {
  readonly upstream: HttpUpstream;
  readonly session: Session;
  readonly origin: Origin;
  readonly lines: string | null;
}

/**
 * The headers of a request, and what follows from them alone: worked out once for all requests of a connection that say the
 * same, which most do.
 */
export class Head {
  readonly version: HttpVersion;
  readonly headers: readonly Header[];
  /** Who was let in by these headers; asked again whether it lives before each use. */
  admission: Admission | null = null;
  readonly #domain: string;
  #host: string | undefined;
  #fault: Refusal | null | undefined;
  #selected: Selected | undefined;
  #credential: Credential | undefined;
  #credentialBeside: Credential | undefined;
  #foreignAuthorization: boolean | undefined;
  #framing: RequestFraming | undefined;
  #keepsAlive: boolean | undefined;
  #wantsUpgrade: boolean | undefined;
  #expectation: Expectation | undefined;
  #forwarded: Forwarded | undefined;

  /** It was too long: what stands in it is its beginning alone. */
  readonly isCut: boolean;

  /**
   * @param domain - services are reached at `<service>.<domain>`
   * @param tooLong - given for the beginning of a head that is too long
   */
  constructor(version: HttpVersion, headers: readonly Header[], domain: string, tooLong?: Refusal) {
    this.version = version;
    this.headers = headers;
    this.#domain = domain;
    this.#fault = tooLong;
    this.isCut = tooLong !== undefined;
  }

  get host(): string {
    this.#host ??= this.value('host') ?? '';
    return this.#host;
  }

  /** The first value of a header, by its name in lower case. */
  value(name: string): string | undefined {
    return valuesOf(this.headers, name)[0];
  }

  get fault(): Refusal | null {
    if (this.#fault === undefined) this.#fault = faultOfHeaders(this.version, this.headers);
    return this.#fault;
  }

  /** How its body ends: its framing headers say so, never its method (A6). 0 without a body, and where there is a fault. */
  get framing(): RequestFraming {
    this.#framing ??= this.#readFraming();
    return this.#framing;
  }

  #readFraming(): RequestFraming {
    if (this.fault !== null) return 0;
    return this.value('transfer-encoding') === undefined ? Number(this.value('content-length') ?? 0) : 'chunked';
  }

  /** Whether another request may follow (RFC 9112 section 9.3). */
  get keepsAlive(): boolean {
    this.#keepsAlive ??= this.#readKeepsAlive();
    return this.#keepsAlive;
  }

  #readKeepsAlive(): boolean {
    const listed = connectionList(this.headers);
    return this.fault === null && !listed.has('close') && (this.version === '1.1' || listed.has('keep-alive'));
  }

  /**
   * Whether it asks for a WebSocket. Whoever asks for another protocol (`h2c`), or asks in HTTP/1.0, is answered in the protocol
   * that is spoken, as if it had not asked (RFC 9110 section 7.8): many clients offer HTTP/2 so with all that they send first.
   */
  get wantsUpgrade(): boolean {
    this.#wantsUpgrade ??= this.#readWantsUpgrade();
    return this.#wantsUpgrade;
  }

  #readWantsUpgrade(): boolean {
    const protocols = this.version === '1.1' && !this.isCut ? membersOf(valuesOf(this.headers, 'upgrade')) : [];
    return (
      protocols.some((protocol) => protocol.split('/', 1)[0] === 'websocket') &&
      connectionList(this.headers).has('upgrade')
    );
  }

  get expectation(): Expectation {
    this.#expectation ??= this.#readExpectation();
    return this.#expectation;
  }

  #readExpectation(): Expectation {
    const expected = this.version === '1.1' ? membersOf(valuesOf(this.headers, 'expect')) : [];
    if (expected.length === 0) return 'none';
    return expected.every((one) => one === '100-continue') ? 'continue' : 'other';
  }

  get selected(): Selected {
    this.#selected ??= selectService(this.headers, this.#domain);
    return this.#selected;
  }

  get credential(): Credential {
    if (this.#credential === undefined) this.#credential = readCredential(this.headers);
    return this.#credential;
  }

  /** Whether there is an `Authorization` that is none of ours: the service's, where its policy passes it on. */
  get hasForeignAuthorization(): boolean {
    this.#foreignAuthorization ??= hasForeignAuthorization(this.headers);
    return this.#foreignAuthorization;
  }

  /** The credential where that is passed on. */
  get credentialBeside(): Credential {
    if (this.#credentialBeside === undefined) this.#credentialBeside = readCredentialBeside(this.headers);
    return this.#credentialBeside;
  }

  /** Whether its `Authorization` goes on to this service. */
  passes({ passesAuthorization }: HttpUpstream): boolean {
    return passesAuthorization && this.hasForeignAuthorization;
  }

  /** The header lines that the service is sent, or null: see `headerLines`. What frames the body is not among them. */
  forwarded(upstream: HttpUpstream, session: Session, origin: Origin): string | null {
    const last = this.#forwarded;
    if (last?.upstream === upstream && last.session === session && sameOrigin(last.origin, origin)) return last.lines;
    const headers = requestHeaders(this.headers, upstream.headersFor(session.grant), origin, this.passes(upstream));
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
