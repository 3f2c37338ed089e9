/** Both directions of the framer against streams that are nearly right. */
import t from 'tap';
import { readColumns, readRow } from '../../src/postgres/sampled.js';
import { readFields } from '../../src/postgres/wire/backend.js';
import { BackendFramer, DROP } from '../../src/postgres/wire/backend-framer.js';
import { FramingError } from '../../src/postgres/wire/framing.js';
import {
  readBind,
  readExecute,
  readFunctionCall,
  readParse,
  readQuery,
  readTarget,
} from '../../src/postgres/wire/frontend.js';
import { FrontendFramer } from '../../src/postgres/wire/frontend-framer.js';
import { fromClient, fromServer } from './messages.js';
import { cases, mutated, pieces, type Random } from './random.js';

const SECONDS = 2;

function stream(random: Random, one: (random: Random) => Buffer): Buffer {
  const messages = Array.from({ length: 1 + random.below(8) }, () => one(random));
  if (random.chance(0.7)) {
    const at = random.below(messages.length);
    messages[at] = mutated(random, messages[at] ?? Buffer.of(0, 0, 0, 0, 4));
  }
  return Buffer.concat(messages);
}

/** What came of reading bytes in these pieces: what was heard, and the error that ended it, as text. */
function heardFrom(cut: readonly Buffer[], read: (piece: Buffer, heard: string[]) => void): string {
  const heard: string[] = [];
  try {
    for (const piece of cut) read(piece, heard);
  } catch (thrown) {
    if (!(thrown instanceof FramingError)) throw thrown;
    heard.push(thrown.message);
  }
  return heard.join('\n');
}

const READERS = {
  Q: readQuery,
  P: readParse,
  B: readBind,
  E: readExecute,
  D: readTarget,
  C: readTarget,
  F: readFunctionCall,
};

/** Reads the body of a message by its type; only a FramingError may come of it. */
function readBody(type: string, frame: Buffer): string {
  const reader = Object.entries(READERS).find(([one]) => one === type)?.[1];
  try {
    return reader === undefined ? frame.toString('hex') : JSON.stringify(reader(frame));
  } catch (thrown) {
    if (thrown instanceof FramingError) return thrown.message;
    throw thrown;
  }
}

function client(): (piece: Buffer, heard: string[]) => void {
  const framer = new FrontendFramer();
  let copied = '';
  const told = (heard: string[]) => {
    if (copied !== '') heard.push(`d ${copied}`);
    copied = '';
  };
  return (piece, heard) =>
    framer.push(piece, {
      message: (type, frame) => {
        told(heard);
        heard.push(`${String.fromCharCode(type)} ${readBody(String.fromCharCode(type), frame)}`);
      },
      copyData: (part, starts) => {
        if (starts) told(heard);
        copied += part.toString('hex');
        if (copied.length > 10 && copied.length === 2 * (1 + Number.parseInt(copied.slice(2, 10), 16))) told(heard);
      },
    });
}

/** What a client would get: every byte, but notices and, if asked for, rows. */
function server(dropped: ReadonlySet<string>, rowLimit: number): (piece: Buffer, heard: string[]) => void {
  const framer = new BackendFramer();
  framer.rowLimit = rowLimit;
  const message = (type: number, frame: Buffer | null) => {
    if (frame !== null && type === 0x44) readRow(frame);
    if (frame !== null && type === 0x54) readColumns(frame);
    if (frame !== null && type === 0x45) readFields(frame);
    return dropped.has(String.fromCharCode(type)) ? DROP : undefined;
  };
  return (piece, heard) => {
    const sent = framer.push(piece, { message });
    heard[0] = (heard[0] ?? '') + Buffer.concat(sent).toString('hex');
  };
}

t.test(
  'what a client sends is heard alike however it is cut, and nothing but a FramingError comes of it',
  async (t) => {
    let count = 0;
    for await (const [one] of cases(SECONDS, 1)) {
      if (one === undefined) continue;
      const { name, random } = one;
      const bytes = stream(random, fromClient);
      const whole = heardFrom([bytes], client());
      const cut = heardFrom(pieces(random, bytes), client());
      if (cut !== whole) t.equal(cut, whole, name);
      count += 1;
    }
    t.comment(`${count} streams`);
    t.ok(count > 100);
  },
);

t.test('what a server sends is passed or dropped alike however it is cut', async (t) => {
  let count = 0;
  for await (const [one] of cases(SECONDS, 1)) {
    if (one === undefined) continue;
    const { name, random } = one;
    const bytes = stream(random, fromServer);
    const dropped = new Set(random.chance(0.5) ? random.pick(['D', 'DC', 'T', 'E', 'N1', 'dH']) : '');
    const limit = random.pick([0, 0, 20, 16_384]);
    const whole = heardFrom([bytes], server(dropped, limit));
    const cut = heardFrom(pieces(random, bytes), server(dropped, limit));
    // What came before an error is passed on piece by piece: in one piece there is no before.
    if (cut !== whole && !cut.endsWith(`\n${whole}`) && whole !== cut.split('\n').at(-1)) t.equal(cut, whole, name);
    count += 1;
  }
  t.comment(`${count} streams`);
  t.ok(count > 100);
});
