import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { Reading } from './reading.js';

/** Who hears what came on a connection. The bytes are overwritten afterwards. @returns whether to read on */
export type OnRead = (bytes: Buffer) => boolean;

/** What all connections read into as long as little comes, one after the other: none reads while another's bytes are looked at. */
const EVERYBODYS = Buffer.allocUnsafeSlow(64 * 1024);

/**
 * The reading of a connection that Node has made, into memory of ours: Node would make 64 KiB anew for each read. Node has that for
 * sockets that are connected for it (`onread` of `net.Socket`), and for others only within: the same fields are set here. Where they
 * are not what they were, nothing is taken over, and the connection is read by its `data` events.
 */
export class OwnReading extends Reading {
  readonly #socket: Socket;
  #heard: OnRead;

  private constructor(socket: Socket, heard: OnRead) {
    super(EVERYBODYS);
    this.#socket = socket;
    this.#heard = heard;
  }

  /** Takes over a connection on which nothing was read that nobody has taken. @returns null where that cannot be */
  static of(socket: Socket, heard: OnRead): OwnReading | null {
    const handle: unknown = Reflect.get(socket, '_handle');
    if (FIELDS === null || socket.constructor !== Socket || socket.readableLength > 0 || !takesBuffers(handle))
      return null;
    const reading = new OwnReading(socket, heard);
    Object.assign(socket, {
      [FIELDS.kBuffer]: reading.buffer,
      [FIELDS.kBufferGen]: () => reading.next(),
      [FIELDS.kBufferCb]: (length: number) => reading.#heard(reading.came(length)),
    });
    handle.useUserBuffer(reading.buffer);
    return reading;
  }

  /** From here on the socket's stream has what comes, and whoever listens to that. */
  giveBack(): void {
    this.#heard = (bytes) => {
      this.expectLittle();
      const chunk = Buffer.from(bytes);
      // What a stream that flows does with it, without looking each time whether to read more: this is never asked for more.
      if (!this.#socket.readableFlowing || this.#socket.readableLength > 0) return this.#socket.push(chunk);
      this.#socket.emit('data', chunk);
      return true;
    };
    // Where Node reads into a given buffer a pause stops that at once, and nobody would notice that the client left.
    // Other streams take what fits while they are paused. And it reads on at every `resume` and `read`, however much waits: of who
    // is read a little at a time, and has the rest put back, all that is ever sent would be held here.
    const { pause, read, resume } = Duplex.prototype;
    const socket = this.#socket;
    const isFull = () => socket.readableLength >= socket.readableHighWaterMark;
    Object.assign(socket, {
      pause,
      read: (size?: number) => (isFull() ? read.call(socket, size) : Socket.prototype.read.call(socket, size)),
      resume: () => (isFull() ? resume.call(socket) : Socket.prototype.resume.call(socket)),
    });
  }
}

/** Has a connection read into memory of ours, where that can be; its stream has copies of what comes. */
export function readIntoOurs(connection: Duplex): void {
  if (connection instanceof Socket) OwnReading.of(connection, () => true)?.giveBack();
}

interface TakesBuffers {
  useUserBuffer(buffer: Buffer): void;
}

function takesBuffers(handle: unknown): handle is TakesBuffers {
  return typeof handle === 'object' && handle !== null && 'useUserBuffer' in handle;
}

/** Node's names for what a socket reads into, what gives it the next, and who hears of it; null where it has others. */
const FIELDS = fieldsOf(new Socket());

function fieldsOf(socket: Socket) {
  const symbols = new Map(Object.getOwnPropertySymbols(socket).map((one) => [one.description, one]));
  const [kBuffer, kBufferGen, kBufferCb] = ['kBuffer', 'kBufferGen', 'kBufferCb'].map((name) => symbols.get(name));
  if (kBuffer === undefined || kBufferGen === undefined || kBufferCb === undefined) return null;
  return { kBuffer, kBufferGen, kBufferCb };
}
