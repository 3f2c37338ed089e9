/** Random numbers that come again with the same seed, and what fuzzers make of them. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to, not including, 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 up to, not including, `below`. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  bytes(size: number): Buffer {
    return Buffer.from(Array.from({ length: size }, () => this.below(256)));
  }
}

const LENGTHS = [0, 1, 3, 4, 5, 8, 255, 65_535, 65_536, 2 ** 24, 2 ** 30, 2 ** 31 - 1, -1, -4, -(2 ** 31)];
const MUTATIONS: readonly ((random: Random, message: Buffer) => Buffer)[] = [
  /* another type */
  (random, message) => Buffer.concat([random.bytes(1), message.subarray(1)]),
  /* another length */
  (random, message) => withInt32(message, 1, random.pick(LENGTHS)),
  (random, message) => withInt32(message, 1, message.length - 1 + random.below(7) - 3),
  /* a number somewhere in the body */
  (random, message) => withInt32(message, 5 + random.below(Math.max(1, message.length - 8)), random.pick(LENGTHS)),
  /* a bit, a byte, a piece that is missing or stands twice */
  (random, message) => withByte(message, random.below(message.length), (byte) => byte ^ (1 << random.below(8))),
  (random, message) => withByte(message, random.below(message.length), () => random.pick([0, 255, 128, 39, 36])),
  (random, message) => message.subarray(0, random.below(message.length)),
  (random, message) => {
    const at = random.below(message.length);
    return Buffer.concat([message.subarray(0, at), message.subarray(Math.max(0, at - random.below(9)))]);
  },
  /* bytes that belong to nothing, with the length set right */
  (random, message) => {
    const at = Math.min(message.length, 5 + random.below(message.length));
    const more = Buffer.concat([message.subarray(0, at), random.bytes(1 + random.below(9)), message.subarray(at)]);
    return withInt32(more, 1, more.length - 1);
  },
];

/** A message with one thing wrong with it. */
export function mutated(random: Random, message: Buffer): Buffer {
  return random.pick(MUTATIONS)(random, message);
}

/** The same bytes in pieces, cut anywhere. */
export function pieces(random: Random, bytes: Buffer): Buffer[] {
  const most = random.pick([1, 3, 7, 64, 1_000, 1e9]);
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(Math.min(most, bytes.length - at));
    out.push(bytes.subarray(at, at + size));
    at += size;
  }
  return out;
}

/** What `FUZZ_SEED` says, or 1: the same cases every time. */
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** One case: how to get it again, and its own random numbers. */
export interface Case {
  readonly name: string;
  readonly seed: number;
  readonly random: Random;
}

/** Cases, `atOnce` at a time, until the time is up: `FUZZ_SECONDS` for each fuzzer, or the few seconds of an ordinary run. */
export async function* cases(seconds: number, atOnce: number): AsyncGenerator<readonly Case[]> {
  const end = Date.now() + Number(process.env.FUZZ_SECONDS ?? seconds) * 1000;
  for (let i = 0; Date.now() < end; i += atOnce) {
    yield Array.from({ length: atOnce }, (_, j) => caseOf(SEED * 1_000_003 + i + j));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function caseOf(seed: number): Case {
  return { name: `FUZZ_SEED=${SEED}, case ${seed - SEED * 1_000_003}`, seed, random: new Random(seed) };
}

function withInt32(message: Buffer, at: number, value: number): Buffer {
  const out = Buffer.from(message);
  if (at + 4 <= out.length) out.writeInt32BE(value, at);
  return out;
}

function withByte(message: Buffer, at: number, change: (byte: number) => number): Buffer {
  const out = Buffer.from(message);
  const byte = out[at];
  if (byte !== undefined) out[at] = change(byte);
  return out;
}
