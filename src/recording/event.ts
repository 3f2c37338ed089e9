/** A value that survives JSON unchanged. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** `Array.isArray` does not narrow a readonly list, nor what is none. */
export function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

/** What happened. `action` is written before its action is forwarded; everything else when it is known. */
export type EventKind =
  | 'open' // the session was admitted: signed grant, policy version, client
  | 'action' // something is about to be done, with its decision
  | 'result' // what came of an action (`of` names its sequence number)
  | 'notice' // the client was warned or told something by the gateway
  | 'renewed' // the lease's deadline moved
  | 'policy' // the session is judged by another policy version from here on
  | 'gap' // something could not be recorded; says what and why
  | 'close'; // the receipt

/**
 * Short facts of an event: the common words every protocol uses, so that the index needs to know neither SQL nor HTTP.
 * They are part of the header and therefore of the chain.
 */
export interface Facts {
  /** What is done: `GET`, `WS`, `message`, `select`, `update,select`. */
  readonly verb?: string;
  /** What it is done to: a path, relations. */
  readonly on?: readonly string[];
  readonly outcome?: 'allow' | 'deny' | 'hold';
  readonly reason?: string;
  readonly rule?: string;
  /** In a result: the sequence number of its action. In an action: of the one that it is part of. */
  readonly of?: number | undefined;
  /** In a result: HTTP status, SQLSTATE (`00000` for success), WebSocket close code. */
  readonly status?: string;
  readonly rows?: number;
  /** Bytes from the client to the service, and back. */
  readonly bytesIn?: number;
  readonly bytesOut?: number;
  /** Milliseconds between forwarding and the end of the result. */
  readonly ms?: number;
  readonly [fact: string]: Json | undefined;
}

/**
 * Facts, and more of them. Not by spreading: what V8 makes of a spread has a shape of its own each time, which takes it
 * microseconds, and whoever reads such objects pays again (ADR 0010).
 */
export function joined(facts: Facts, more: Facts): Facts {
  return Object.assign({}, facts, more);
}

/** The rest of an event: `text` is what the index searches. */
export interface Payload {
  readonly text?: string;
  readonly [part: string]: Json | undefined;
}

/** An event as it stands in a recording. */
export interface RecordedEvent {
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly kind: EventKind;
  readonly facts: Facts;
  readonly payload: Payload | null;
}

/** What completes the facts of an event before they are looked at: something is worked out elsewhere meanwhile. */
export interface Later {
  /** It is worked out. */
  readonly isThere: boolean;
  /** Completes them, and waits for it where it is not there. Says the same if it is called again; must not throw. */
  complete(): void;
}

/** An event that is not encoded yet. */
export interface FreshEvent extends RecordedEvent {
  readonly later: Later | null;
}
