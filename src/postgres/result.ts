import type { Facts, Json, Payload } from '../recording/event.js';
import type { CopyData } from './copy-data.js';
import type { Overrun } from './limits.js';
import { MOST_SAMPLED, readColumns, readRow } from './sampled.js';
import type { Share } from './taken.js';

/** The result that the server is giving: how much of it came, whether it is over a limit, and its first rows for the record. */
export class Result {
  rows = 0;
  /** CopyData messages to the client: in text and binary one a row. */
  copied = 0;
  /** Bytes of the messages that bring it. */
  bytes = 0;
  /** What was taken before of the portal whose rows these are; null until it is asked for. */
  before: Share | null = null;
  /** It went over a limit of the role: nothing more of it reaches the client. */
  overrun: Overrun | null = null;
  #sampled: (readonly Json[])[] = [];
  #sampledBytes = 0;
  #columns: readonly string[] | null = null;

  /**
   * @param frame - null when it is too long to be read
   * @param most - how many rows the record keeps
   */
  row(frame: Buffer | null, length: number, most: number): void {
    this.rows += 1;
    this.bytes += length;
    if (frame !== null) this.#sample(frame, most);
  }

  copyData(length: number): void {
    this.copied += 1;
    this.bytes += length;
  }

  /** @param frame - the RowDescription; null when it is too long to be read */
  describedBy(frame: Buffer | null): void {
    this.#columns = frame === null ? null : readColumns(frame);
  }

  /** Written out in one piece: what is put together of parts is slow to make and slow to read. */
  facts(of: number, status: string, tag: string, ms: number, copy: CopyData | null): Facts {
    const { bytes: bytesOut, overrun } = this;
    const rows = this.#rowsBy(tag);
    if (copy === null && overrun === null) return { status, tag, rows, bytesOut, ms, of };
    const copied = copy === null ? {} : { bytesIn: copy.bytes };
    const limit = overrun === null ? {} : { limit: overrun.key };
    return { status, tag, rows, bytesOut, ...copied, ...limit, ms, of };
  }

  /** A COPY's tag has its rows; a message of its data may be a header line, or of an interrupted one all there is. */
  #rowsBy(tag: string): number {
    const copied = tag.startsWith('COPY ') ? /^COPY (\d+)$/.exec(tag)?.[1] : undefined;
    return copied === undefined ? this.rows + this.copied : Number(copied);
  }

  /** Gives up its first rows, for the record. */
  takeSample(): Payload | null {
    const results = this.#sampled;
    const columns = this.#columns;
    this.#columns = null;
    if (results.length === 0) return null;
    this.#sampled = [];
    this.#sampledBytes = 0;
    return { ...(columns === null ? {} : { columns }), results };
  }

  /** The next one begins: nothing of it has come. */
  next(): void {
    this.rows = 0;
    this.copied = 0;
    this.bytes = 0;
    this.before = null;
    this.overrun = null;
  }

  #sample(frame: Buffer, most: number): void {
    if (this.#sampled.length >= most || this.#sampledBytes + frame.length > MOST_SAMPLED) return;
    this.#sampled.push(readRow(frame));
    this.#sampledBytes += frame.length;
  }
}
