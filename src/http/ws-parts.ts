import type { Duplex } from 'node:stream';
import * as ws from 'ws';

/** The part of `ws` that reads frames. It is exported by the package and missing from its published types. */
export interface FrameReceiver {
  write(chunk: Buffer): boolean;
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): this;
  on(event: 'ping' | 'pong', listener: (data: Buffer) => void): this;
  on(event: 'conclude', listener: (code: number, reason: Buffer) => void): this;
  on(event: 'drain' | 'close' | 'finish', listener: () => void): this;
  on(event: 'error', listener: (error: Error & { code?: string }) => void): this;
}

/** The part of `ws` that writes frames, masked where a client must. */
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
  export const Receiver: new (options: {
    isServer: boolean;
    maxPayload: number;
    maxFragments?: number;
  }) => FrameReceiver;
  export const Sender: new (socket: Duplex) => FrameSender;
}

/** Reads what a client sends: masked frames, put together to messages; a larger one than `maxPayload` bytes is an error. */
export function clientReceiver(maxPayload: number): FrameReceiver {
  return new ws.Receiver({ isServer: true, maxPayload, maxFragments: 4096 });
}

/** Writes frames to `socket`. */
export function senderOn(socket: Duplex): FrameSender {
  return new ws.Sender(socket);
}
