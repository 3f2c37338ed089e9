import { NOTICE_KINDS, type NoticeKind } from '../config/notice-kinds.js';
import { DaypassError } from '../errors.js';

/** What is handed to a channel. */
export interface Message {
  /** The same whenever it is sent again: by it the receiver can tell. */
  readonly id: string;
  readonly kind: string;
  /** When it happened, milliseconds since the epoch. */
  readonly at: number;
  readonly data: Readonly<Record<string, string | number | null>>;
  /** An address; empty where the channel has one receiver. */
  readonly recipient: string;
  /** Whether it was sent before and nobody knows if it arrived. */
  readonly repeated: boolean;
}

export type ChannelName = 'slack' | 'webhook' | 'smtp';

/** A way to tell somebody. */
export interface Channel {
  readonly name: ChannelName;
  /** @throws whatever kept it from arriving, or from being known to have arrived (`arrivedNot` tells them apart) */
  send(message: Message, signal: AbortSignal): Promise<void>;
  close(): Promise<void> | void;
}

/** What is added to a text of which nobody knows whether it arrived already. */
export const REPEATED = '(Sent again: whether this arrived before is not known.)';

/** Failures before anything of a message was sent. */
const BEFORE = new Set([
  ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'],
  ...['UND_ERR_CONNECT_TIMEOUT', 'EDNS', 'ETLS', 'EAUTH', 'ENOAUTH'],
]);

/** Whether a failure says for sure that the message did not arrive: it was refused, or never began to be sent. */
export function arrivedNot(thrown: unknown): boolean {
  if (thrown instanceof DaypassError) return thrown.code === 'receiver_refused' || thrown.code === 'unknown_kind';
  if (!(thrown instanceof Error)) return false;
  // An SMTP server's answer (RFC 5321 section 4.2): 4xx and 5xx take no responsibility for the message.
  if ('responseCode' in thrown && typeof thrown.responseCode === 'number') return thrown.responseCode >= 400;
  if ('command' in thrown && thrown.command === 'CONN') return true;
  return 'code' in thrown && BEFORE.has(String(thrown.code));
}

/** A kind that a newer gateway wrote and this one does not know has no text here. @throws DaypassError `unknown_kind` */
export function kindOf({ kind }: Pick<Message, 'kind'>): NoticeKind {
  const known = NOTICE_KINDS.find((one) => one === kind);
  if (known !== undefined) return known;
  throw new DaypassError('unknown_kind', `This gateway has no text for ${JSON.stringify(kind)}.`);
}
