/*
 * What goes between the primary and its workers over the channel that forking makes. A cancel key is a secret: these messages
 * are never logged.
 */

/** Most workers of one gateway: the secrets of their cancel keys tell so many apart. */
export const MOST_WORKERS = 64;

/** A CancelRequest that reached a worker which did not issue its key. */
export interface CancelMessage {
  readonly kind: 'cancel';
  /** Of the worker that did. */
  readonly place: number;
  readonly pid: number;
  /** In base64. */
  readonly secret: string;
  /** The address it came from. */
  readonly client: string;
  /** The worker that passes it on, and what that knows it by. */
  readonly from: number;
  readonly id: number;
}

/** The worker that a CancelRequest was passed on to has done with it. */
export interface CancelledMessage {
  readonly kind: 'cancelled';
  /** Of the worker that passed it on. */
  readonly place: number;
  readonly id: number;
}

/** What goes from one worker to another. */
export type PassedMessage = CancelMessage | CancelledMessage;

/** Where a worker serves; the ports are the same for all of them. */
export interface ServesMessage {
  readonly kind: 'serves';
  readonly http: number;
  readonly postgres: number;
}

/** Why a worker could not start. */
export interface FailedMessage {
  readonly kind: 'failed';
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

export type FromWorker = PassedMessage | ServesMessage | FailedMessage;
export type FromPrimary = PassedMessage | { readonly kind: 'stop' };
