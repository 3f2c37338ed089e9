import { BINARY, type Case, frame, inPieces, passes, said, TEXT, type Wait } from './autobahn-frames.js';

/* Groups 9 and 10 of the Autobahn suite: large messages, many fragments, many pieces, many messages, each with the suite's sizes. */

const KIB = 1_024;
const MIB = 1_024 * KIB;

/** Each group of texts is followed by the same with binary messages. */
interface Kind {
  readonly kind: 'text' | 'binary';
  readonly opcode: number;
  readonly group: number;
  /** What its messages repeat. */
  readonly of: Buffer;
}

const kinds = (first: number, ofText: string, ofBinary: readonly number[]): readonly Kind[] => [
  { kind: 'text', opcode: TEXT, group: first, of: Buffer.from(ofText) },
  { kind: 'binary', opcode: BINARY, group: first + 1, of: Buffer.from(ofBinary) },
];
const mixed = (first: number) => kinds(first, 'BAsd7&jh23', [0x00, 0xfe, 0x23, 0xfa, 0xf0]);
const alike = (first: number) => kinds(first, '*', [0xfe]);

function* whole(): Generator<Case> {
  for (const { kind, opcode, group, of } of mixed(1)) {
    const sizes = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
    for (const [at, size] of sizes.entries()) {
      const bytes = Buffer.alloc(size, of);
      const what = `a ${kind} message of ${size / KIB} KiB comes back`;
      yield passes(`9.${group}.${at + 1}`, what, [frame(opcode, bytes)], [said(kind, bytes)]);
    }
  }
}

function* fragmented(): Generator<Case> {
  for (const { kind, opcode, group, of } of alike(3)) {
    const bytes = Buffer.alloc(4 * MIB, of);
    const sizes = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
    for (const [at, size] of sizes.entries()) {
      const what = `a ${kind} message of 4 MiB in fragments of ${size} bytes`;
      yield passes(`9.${group}.${at + 1}`, what, inPieces(opcode, bytes, size), [said(kind, bytes)]);
    }
  }
}

function* inChops(): Generator<Case> {
  for (const { kind, opcode, group, of } of mixed(5)) {
    const bytes = Buffer.alloc(MIB, of);
    for (const [at, cut] of [64, 128, 256, 512, KIB, 2 * KIB].entries()) {
      const what = `a ${kind} message of 1 MiB sent by ${cut} bytes`;
      yield passes(`9.${group}.${at + 1}`, what, [frame(opcode, bytes)], [said(kind, bytes)], { cut });
    }
  }
}

const MESSAGES = 1_000;

function* oneByOne(): Generator<Case> {
  for (const { kind, opcode, group, of } of alike(7)) {
    for (const [at, size] of [0, 16, 64, 256, KIB, 4 * KIB].entries()) {
      const bytes = Buffer.alloc(size, of);
      const message = frame(opcode, bytes);
      const sent = Array.from({ length: MESSAGES }, (_, n): (Buffer | Wait)[] => [message, { answers: n + 1 }]).flat();
      const what = `${MESSAGES} ${kind} messages of ${size} bytes, each sent when the one before is back`;
      yield passes(`9.${group}.${at + 1}`, what, sent, Array(MESSAGES).fill(said(kind, bytes)));
    }
  }
}

/** What is large is made when its turn comes, and not kept. */
export function* sizes(): Generator<Case> {
  yield* whole();
  yield* fragmented();
  yield* inChops();
  yield* oneByOne();
  const bytes = Buffer.alloc(64 * KIB, '*');
  yield passes('10.1.1', 'a text of 64 KiB in fragments of 1,300 bytes', inPieces(TEXT, bytes, 1_300), [
    said('text', bytes),
  ]);
}
