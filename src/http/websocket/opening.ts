import type { Duplex } from 'node:stream';
import type { Admission } from '../../gate/admission.js';
import type { Passage } from '../../gate/passage.js';
import type { Facts } from '../../recording/event.js';
import type { Connection, Cut } from '../../session/connection.js';
import type { Header, HttpAction, RequestAction } from '../action.js';
import type { ClientRequest } from '../client/request.js';
import { CONTINUE } from '../client/response.js';
import { requestHeaders } from '../headers/headers.js';
import { withinRate } from '../judge.js';
import type { HttpParts } from '../parts.js';
import { type Instants, timesOf } from '../record/result.js';
import { rawRefusal, refusalOf, refusalOfCut, sendRawRefusal } from '../refusals/deny.js';
import { failureStatus, noWebSocket } from '../refusals/failures.js';
import { serviceFault } from '../refusals/faults.js';
import { withoutStream } from '../rules/decide.js';
import { declines, type ResponseHead } from '../service/response-head.js';
import { type Addressed, upstreamOf } from '../service/target.js';
import { clientOf, protoOf } from '../whence.js';
import { resultOfDeclined } from './declined.js';
import { declinedTo, responseTo, type Wish, withoutHandshake } from './handshake.js';
import { WebSocketRelay } from './relay.js';
import { type Cancel, dialWebSocket } from './ws-upstream.js';

/** What an upgrade is made of, once it is allowed. */
export interface OpeningParts {
  readonly parts: HttpParts;
  readonly req: ClientRequest;
  readonly socket: Duplex;
  readonly admission: Admission;
  readonly passage: Passage<HttpAction>;
  readonly action: RequestAction;
  readonly seq: number;
  readonly wish: Wish;
  readonly path: string;
  readonly query: string;
  readonly assertion: string;
  /** When the request's head was read, on the monotonic clock. */
  readonly arrivedAt: number;
}

/** A WebSocket between its allowed request and the service's 101: still HTTP, and cut as HTTP. */
export class Opening implements Connection {
  readonly client: Duplex;
  readonly #parts: OpeningParts;
  readonly #addressed: Addressed;
  #detach: () => void = () => {};
  #forwardedAt: number | null = null;
  #answeredAt: number | null = null;
  #cancel: Cancel = () => {};
  #done = false;

  constructor(parts: OpeningParts) {
    this.#parts = parts;
    this.#addressed = upstreamOf(parts.admission).addressedAs(parts.req.head.host);
    this.client = parts.socket;
    parts.socket.once('close', this.#clientLeft);
    // Without a reader a client that leaves would not be noticed; one that does not wait for its answer is cut off.
    parts.socket.once('data', this.#clientLeft);
    parts.socket.once('end', this.#clientLeft);
    this.#detach = parts.passage.session.attach(this);
  }

  start(): void {
    const { parts, req, admission, wish, path, query, assertion } = this.#parts;
    if (this.#done) return;
    const origin = { client: clientOf(req), host: req.head.host, proto: protoOf(req), assertion };
    const upstream = upstreamOf(admission);
    const headers = requestHeaders(
      withoutHandshake(req.headers),
      upstream.headersFor(admission.session.grant),
      origin,
      req.head.passes(upstream),
    );
    const limits = parts.upstreams.limitsOf(upstream);
    const { meter } = admission.session;
    const from = parts.monotonic();
    this.#forwardedAt = from;
    this.#cancel = dialWebSocket(
      admission,
      { path: path + query, addressed: this.#addressed, headers, wish, limits },
      {
        answered: () => this.#answered(from),
        opened: (upstream, answer, rest) => this.#opened(upstream, answer, rest),
        declined: (head, body) => this.#declined(head, body),
        failed: (why, timeout) => {
          if (this.#answeredAt === null) meter.dialFailed();
          this.#failed(why, timeout);
        },
      },
    );
  }

  #answered(from: number): void {
    const { parts, admission } = this.#parts;
    this.#answeredAt = parts.monotonic();
    admission.session.meter.dialled(this.#answeredAt - from);
  }

  severUpstream(): void {
    this.#stop(this.#parts.passage.session.end?.reason ?? 'client_left');
  }

  farewell(cut: Cut): void {
    if (this.client.writable)
      this.client.write(rawRefusal(this.#parts.req, refusalOfCut(cut, this.#parts.passage.session.id)));
  }

  warn(): void {}

  policyChanged(): void {
    const decision = this.#parts.passage.judge(this.#parts.action);
    if (this.#done || decision.outcome === 'allow') return;
    this.#stop('policy_gone');
    const { parts, req, passage, action } = this.#parts;
    const { id, policy } = passage.session;
    const fault = { service: policy.name, session: id, client: action.client, rule: decision.rule };
    parts.faults.tell({ ...fault, status: 403, reason: 'policy_gone' });
    sendRawRefusal(this.client, req, refusalOf(decision, id));
  }

  #opened(upstream: Duplex, answer: readonly Header[], rest: Buffer): void {
    const { parts, req, passage, path, seq, wish, action } = this.#parts;
    const { session } = passage;
    if (this.#done || !session.isLive()) {
      upstream.destroy();
      return;
    }
    // Whoever expects 100, though there is no body to send, has it before the 101 (RFC 9110 section 7.8).
    const before = req.head.expectation === 'continue' ? CONTINUE : '';
    const response = before + responseTo(wish, answer, this.#addressed, session.expires);
    session.sightings.text(response);
    session.toClients.deliver(this.client, Buffer.from(response, 'latin1'));
    // The end came just now: nothing was given, and this was cut with the session.
    if (session.end !== null) {
      upstream.destroy();
      return;
    }
    this.#release();
    new WebSocketRelay({
      client: this.client,
      upstream,
      passage,
      path,
      seq,
      at: this.#at(),
      opening: action,
      monotonic: parts.monotonic,
      faults: parts.faults,
      upstreams: parts.upstreams,
      memory: parts.messages,
      messageTimeout: parts.messageTimeout,
    }).start(rest);
  }

  /**
   * The service says no in its own words: passed on as a plain answer, and the connection ends. Services that know no WebSocket answer
   * with the page (RFC 9110 section 7.8), which whoever may not ask for it does not get.
   */
  #declined(head: ResponseHead, body: Buffer): void {
    const { passage, seq, parts } = this.#parts;
    const { session } = passage;
    if (this.#done || !session.isLive()) return;
    if (!declines(head) && !this.#mayGet()) return this.#failed('a page, where a WebSocket alone is allowed', false);
    this.#release();
    const addressed = this.#addressed;
    const at = { ...this.#at(), done: parts.monotonic() };
    const { facts, payload } = resultOfDeclined({ seq, head, body, session, addressed, at });
    passage.result(seq, facts, payload);
    const plain = declinedTo(head, body, addressed);
    session.sightings.bytes(plain);
    session.toClients.deliver(this.client, plain);
    // Its session's until the client has it all: who takes nothing of it, or does not leave, is not waited for beyond that.
    this.client.once('close', session.attach(this));
    this.client.end(() => this.client.destroy());
  }

  /** As often as by a GET, too. */
  #mayGet(): boolean {
    const { parts, passage, action } = this.#parts;
    const decision = withoutStream(passage.judge({ ...action, method: 'GET' }));
    return withinRate(parts, passage.session, decision).outcome === 'allow';
  }

  #failed(why: string, timeout: boolean): void {
    if (this.#done) return;
    const { parts, req, passage, seq } = this.#parts;
    const { session } = passage;
    parts.log.warn({ ...serviceFault(session, failureStatus(timeout)), err: why }, 'the service failed');
    session.meter.upstreamFailed(timeout ? 'timeout' : 'broken');
    this.#release();
    this.#cancel();
    passage.result(seq, { reason: 'upstream_unavailable', ...this.#times() });
    sendRawRefusal(this.client, req, noWebSocket(timeout, session.id));
  }

  readonly #clientLeft = () => {
    this.#stop('client_left');
    this.client.destroy();
  };

  #stop(reason: string): void {
    if (this.#done) return;
    this.#release();
    this.#cancel();
    const { passage, seq } = this.#parts;
    if (passage.session.recording.receipt === null)
      passage.session.recording.append('result', { of: seq, reason, ...this.#times() });
  }

  /** Lets go of the client's socket: whoever comes next has it alone. */
  #release(): void {
    this.#done = true;
    this.#detach();
    for (const event of ['close', 'data', 'end']) this.client.off(event, this.#clientLeft);
    this.client.pause();
  }

  #at(): Omit<Instants, 'done'> {
    return { arrived: this.#parts.arrivedAt, forwarded: this.#forwardedAt, answered: this.#answeredAt };
  }

  #times(): Facts {
    return timesOf({ ...this.#at(), done: this.#parts.parts.monotonic() });
  }
}
