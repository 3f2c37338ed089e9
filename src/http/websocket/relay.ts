import type { Duplex } from 'node:stream';
import type { Facts } from '../../recording/event.js';
import type { Connection, Cut } from '../../session/connection.js';
import type { Session } from '../../session/session.js';
import { timesOf } from '../record/result.js';
import { takesNoMore } from '../service/outlived-writes.js';
import { ClientSide } from './client-side.js';
import { CODES, type Ending, type FaultyEnding, leaveGently, Parting } from './parting.js';
import type { RelayParts } from './relay-parts.js';
import { ServiceSide } from './service-side.js';

/**
 * An open WebSocket. What the client sends is the business of `ClientSide`, what the service sends that of `ServiceSide`;
 * how it ends is decided here, whoever it is that ends it.
 */
export class WebSocketRelay implements Connection {
  readonly client: Duplex;
  readonly #parts: RelayParts;
  readonly #session: Session;
  readonly #clientSide: ClientSide;
  readonly #serviceSide: ServiceSide;
  readonly #parting: Parting;
  #detach: () => void = () => {};
  #done = false;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    this.client = parts.client;
    this.#session = parts.passage.session;
    this.#clientSide = new ClientSide(parts, {
      closed: () => this.#serviceSide.awaitEnd(),
      faulty: (ending) => this.#tell(ending),
      refused: (ending) => this.#end(ending),
      crowdedOut: (ending) => this.#crowdedOut(ending),
      left: () => this.#clientLeft(),
    });
    this.#serviceSide = new ServiceSide(parts, {
      mayWarn: () => this.#clientSide.closeCode === null,
      failed: (why, kind) => this.#serviceFailed(why, kind),
      ended: () => this.#serviceEnded(),
      left: () => this.#serviceLeft(),
    });
    this.#parting = new Parting(this.client, this.#serviceSide.watch);
    this.#detach = this.#session.attach(this);
  }

  /** Begins to relay; `head` is what the service has sent already. */
  start(head: Buffer): void {
    if (this.#done) return;
    this.#clientSide.start();
    this.#serviceSide.start(head);
    this.client.resume();
  }

  severUpstream(): void {
    const { upstream } = this.#parts;
    this.#stop({ reason: this.#session.end?.reason ?? 'client_left', status: this.#statusOf(CODES.cut) }, true);
    upstream.destroy();
  }

  farewell(cut: Cut): void {
    this.#parting.say(CODES.cut, cut.message);
    this.#parting.takeBack();
  }

  warn(): void {
    this.#serviceSide.warn();
  }

  policyChanged(): void {
    const { outcome, message, rule } = this.#parts.passage.judge(this.#parts.opening);
    if (outcome !== 'allow') this.#break({ code: CODES.refused, message, reason: 'policy_gone', rule });
  }

  #serviceFailed(why: string, kind: 'protocol' | 'timeout'): void {
    const ending: FaultyEnding = {
      code: CODES.badGateway,
      message: kind === 'timeout' ? 'the service left a message unfinished' : 'the service does not speak WebSocket',
      reason: 'upstream_unavailable',
      rule: kind === 'timeout' ? 'a message that goes on' : 'well-formed frames',
      why,
    };
    const status = this.#statusOf(ending.code);
    this.#session.meter.upstreamFailed(kind);
    this.#tell(ending, Number(status));
    this.#stop({ status, reason: ending.reason, fault: why }, true);
    this.#parts.upstream.destroy();
    this.#leaveClient(ending);
  }

  /** What its service has not taken is not waited for any more. */
  #crowdedOut(ending: FaultyEnding): void {
    const isOver = this.#done;
    const { refusal } = this.#clientSide;
    if (!isOver && refusal === null) this.#tell(ending);
    this.#stop({ status: this.#statusOf(ending.code), reason: ending.reason }, true);
    this.#parts.upstream.destroy();
    if (!isOver) this.#leaveClient(refusal ?? ending);
  }

  /** It says nothing more, and may still read: what its client was allowed to say before goes on to it first. */
  #serviceEnded(): void {
    if (this.#done || this.#clientSide.refusal !== null) return; // a refusal ends this behind the same
    this.#clientSide.hearNoMore(() => this.#serviceLeft());
  }

  #serviceLeft(): void {
    if (this.#done) return;
    const code = this.#serviceSide.watch.closeCode ?? this.#clientSide.closeCode;
    // The client's close is answered, if the service did not do so.
    if (code !== null) return this.#finish({ status: String(code) }, { code, message: '' });
    if (this.#clientSide.refusal === null) this.#session.meter.upstreamFailed('broken');
    this.#break({
      code: CODES.badGateway,
      message: 'the service closed the connection',
      reason: 'upstream_closed',
      rule: 'a closing handshake',
    });
  }

  #clientLeft(): void {
    if (this.#done) return;
    const code = this.#clientSide.closeCode ?? this.#serviceSide.watch.closeCode ?? 1006;
    this.#finish({ status: String(code), reason: 'client_left' }, null);
  }

  /** Ends this WebSocket for what no decision in the record stands for. */
  #break(ending: FaultyEnding): void {
    if (this.#done) return;
    const { refusal } = this.#clientSide;
    if (refusal !== null) return this.#end(refusal); // that was told
    this.#tell(ending);
    this.#end(ending);
  }

  /** Ends this WebSocket alone: the session goes on. What the client was allowed to say still reaches the service. */
  #end(ending: Ending): void {
    if (this.#done) return;
    this.#clientSide.flush();
    this.#finish({ status: this.#statusOf(ending.code), reason: ending.reason }, ending);
  }

  /** However this ends but by a cut or by a broken service: it is recorded, and both are left, the client told why if it can be. */
  #finish(facts: Facts, said: Pick<Ending, 'code' | 'message'> | null): void {
    const { upstream, upstreams } = this.#parts;
    this.#stop(facts, takesNoMore(upstream));
    leaveGently(upstream);
    this.#leaveClient(said);
    // Until its client is gone it has that one's room, and nothing has to give way for it.
    const left = () => upstreams.left(upstream);
    if (this.client.closed) left();
    else this.client.once('close', left);
  }

  #leaveClient(said: Pick<Ending, 'code' | 'message'> | null): void {
    if (said !== null) this.#parting.say(said.code, said.message);
    this.#parting.leave();
  }

  /** The code that the client is about to be told, or was; 1006 where nothing can be said. */
  #statusOf(code: number): string {
    return String(this.#parting.maySay ? code : (this.#serviceSide.watch.closeCode ?? 1006));
  }

  #tell({ code, reason, rule, why }: FaultyEnding, status: number = code): void {
    const { id, policy } = this.#session;
    const { faults, opening } = this.#parts;
    faults.tell({ service: policy.name, session: id, client: opening.client, status, reason, rule, why });
  }

  /** @param isLost - what the service's connection still holds does not go on */
  #stop(facts: Facts, isLost: boolean): void {
    if (this.#done) return;
    this.#done = true;
    this.#clientSide.stop();
    this.#serviceSide.stop();
    const { seq, at, monotonic } = this.#parts;
    const { bytes: bytesIn, messages } = this.#clientSide;
    const counted = {
      bytesIn,
      bytesOut: this.#serviceSide.bytes,
      messages,
      ...this.#clientSide.notSent(isLost), // were allowed, and are not to be taken for sent
    };
    const { recording } = this.#session;
    // Straight to the log: at a cut the session counts as ended already, and its receipt is written after this.
    if (recording.receipt === null)
      recording.append('result', { of: seq, ...counted, ...timesOf({ ...at, done: monotonic() }), ...facts });
    this.#detach();
    this.#linger();
  }

  /** What was written to either side may still wait there, which a cut has to find until both are closed. */
  #linger(): void {
    const open = [this.client, this.#parts.upstream].filter(({ closed }) => !closed);
    if (open.length === 0 || this.#session.end !== null) return;
    const over = this.#session.linger(this);
    let left = open.length;
    const closed = () => {
      left -= 1;
      if (left === 0) over();
    };
    for (const one of open) one.once('close', closed);
  }
}
