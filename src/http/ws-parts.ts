import type { Duplex } from 'node:stream';
import * as ws from 'ws';

/** The part of `ws` that writes frames, masked where a client must. It is exported by the package and missing from its published types. */
export interface FrameSender {
  send(
    data: Buffer,
    options: { binary: boolean; mask: boolean; fin: true; compress: false },
    done?: (error?: Error) => void,
  ): void;
  ping(data: Buffer, mask: boolean, done?: (error?: Error) => void): void;
  pong(data: Buffer, mask: boolean, done?: (error?: Error) => void): void;
  close(code: number | undefined, reason: Buffer | string, mask: boolean, done?: (error?: Error) => void): void;
}

declare module 'ws' {
  export const Sender: new (socket: Duplex) => FrameSender;
}

/** Writes frames to `socket`. */
export function senderOn(socket: Duplex): FrameSender {
  return new ws.Sender(socket);
}
