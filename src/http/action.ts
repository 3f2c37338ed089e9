import type { MessageFacts } from './record/message-facts.js';
import type { Target } from './rules/path.js';

/** A header as it stood in the request: name and value. */
export type Header = readonly [name: string, value: string];

/** A request, before any byte of it is forwarded. `method` is `WS` for the opening of a WebSocket. */
export interface RequestAction {
  readonly kind: 'request';
  readonly method: string;
  readonly target: Target;
  /** The target as it came, for the record of one that has no single meaning. */
  readonly rawTarget: string;
  /** Where this request comes from, as the socket says: one session's requests may come from several places. */
  readonly client: string;
  readonly headers: readonly Header[];
  /** Lower-case names of the headers the gateway injects: a client's own are redacted. */
  readonly injected: readonly string[];
  /** The sequence number of the recorded request that asks for this as well, or whose body asks for it instead. */
  readonly of?: number;
}

/** A frame of a client that carries its bytes to the service: judged as its socket's opening. */
export interface MessageAction {
  readonly kind: 'message';
  /** The request that opened its socket: what allows that allows the message. */
  readonly opening: RequestAction;
  /** Of what its socket's client says. */
  readonly facts: MessageFacts;
  readonly frame: 'text' | 'binary' | 'ping' | 'pong' | 'close';
  /** Of a close frame its reason. */
  readonly data: Buffer;
  /** Of a close frame. */
  readonly code?: number | undefined;
}

/** What is about to be done over HTTP. */
export type HttpAction = RequestAction | MessageAction;
