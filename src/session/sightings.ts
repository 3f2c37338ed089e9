import type { SoughtSecret } from '../config/secret.js';

/** Something to look for, and what it is called. */
interface Sought {
  readonly secret: SoughtSecret;
  readonly bytes: Buffer;
  /** Some of its bytes, from the one on that is rarest in what services answer: found quickly, and nearly never in vain. */
  readonly piece: Buffer;
  /** The same as header lines have it. */
  readonly latin1: string;
}

/** Who is told of what was seen. */
export interface SightingsHeard {
  /** A secret was seen; called once for each. */
  seen(name: string): void;
  /** Something passed in which none could be recognised; called once. */
  encoded(): void;
}

/**
 * Looks for the secrets that are injected towards a service in what the service says to one session. Each is told of once;
 * what the service encodes, compresses or takes apart is not recognised.
 */
export class Sightings {
  readonly #heard: SightingsHeard;
  readonly #seen: SoughtSecret[] = [];
  #encoded = false;
  #sought: readonly Sought[] = [];
  #longest = 0;

  constructor(secrets: readonly SoughtSecret[], heard: SightingsHeard) {
    this.#heard = heard;
    this.replace(secrets);
  }

  /** The policy was reloaded: from here on these are looked for. What was put in the place of one that was seen is another secret. */
  replace(secrets: readonly SoughtSecret[]): void {
    this.#sought = secrets.filter((secret) => !this.#hasSeen(secret)).flatMap((secret) => soughtOf(secret));
    this.#longest = Math.max(0, ...this.#sought.map(({ bytes }) => bytes.length));
  }

  /** Begins to listen to one stream of bytes. */
  stream(): SightedStream {
    return new SightedStream(this);
  }

  /** Length of the longest form, bytes; 0 when nothing is looked for. */
  get longest(): number {
    return this.#sought.length === 0 ? 0 : this.#longest;
  }

  /** Looks through some bytes. */
  bytes(bytes: Buffer): void {
    for (const one of this.#sought) if (bytes.includes(one.piece) && bytes.includes(one.bytes)) this.#saw(one);
  }

  /** A copy of the end of some bytes from where it may be the beginning of a secret; null when it is none. */
  beginningIn(bytes: Buffer): Buffer | null {
    for (let from = Math.max(0, bytes.length - this.#longest + 1); from < bytes.length; from += 1) {
      for (const one of this.#sought) if (beginsAt(one.bytes, bytes, from)) return Buffer.from(bytes.subarray(from));
    }
    return null;
  }

  /** Looks through a text whose characters are bytes, as those of header lines are. */
  text(latin1: string): void {
    for (const one of this.#sought) if (latin1.includes(one.latin1)) this.#saw(one);
  }

  /** What passes is compressed, or encoded otherwise: it is not looked through. */
  encoded(): void {
    if (this.#encoded || this.#sought.length === 0) return;
    this.#encoded = true;
    this.#heard.encoded();
  }

  #hasSeen(secret: SoughtSecret): boolean {
    return this.#seen.some((one) => one.name === secret.name && one.isAs(secret));
  }

  #saw({ secret }: Sought): void {
    if (this.#hasSeen(secret)) return;
    this.#seen.push(secret);
    this.#sought = this.#sought.filter((other) => other.secret !== secret);
    this.#heard.seen(secret.name);
  }
}

function soughtOf(secret: SoughtSecret): Sought[] {
  return secret.forms().map((bytes) => {
    return { secret, bytes, piece: pieceOf(bytes), latin1: bytes.toString('latin1') };
  });
}

/**
 * From the most frequent bytes of texts, markup, numbers and hexadecimal digits to the rarer ones; what does not stand here is
 * rarer still.
 */
const FREQUENT = ' 0123456789etaoinsrhldcu"mfpg,.-:_/wybvk=<>;\'()[]{}xTSAICENRDOPMjqzLFBHGUWVKJYXQZ';
const rarity = (byte: number): number => {
  const rank = FREQUENT.indexOf(String.fromCharCode(byte));
  return rank === -1 ? FREQUENT.length : rank;
};

/** Fewer would be found by chance. For 8 and more Node skips through what it searches, which takes longer than to run through it. */
const [SHORTEST_PIECE, LONGEST_PIECE] = [4, 7];

function pieceOf(bytes: Buffer): Buffer {
  let from = 0;
  for (let at = 1; at <= bytes.length - SHORTEST_PIECE; at += 1) {
    if (rarity(bytes[at] ?? 0) > rarity(bytes[from] ?? 0)) from = at;
  }
  return bytes.subarray(from, from + LONGEST_PIECE);
}

/** Whether what is left of `bytes` is how a secret begins, and not all of it. */
function beginsAt(secret: Buffer, bytes: Buffer, from: number): boolean {
  const left = bytes.length - from;
  if (bytes[from] !== secret[0] || left >= secret.length) return false;
  return secret.compare(bytes, from, bytes.length, 0, left) === 0;
}

/** One stream of bytes, in which a secret may begin in one chunk and end in another. */
export class SightedStream {
  readonly #sightings: Sightings;
  /** The end of what has passed, where it may be the beginning of a secret. */
  #begun: Buffer | null = null;

  /** For `Sightings.stream` alone. */
  constructor(sightings: Sightings) {
    this.#sightings = sightings;
  }

  push(chunk: Buffer): void {
    const sightings = this.#sightings;
    const { longest } = sightings;
    if (longest === 0) return;
    let end = chunk;
    sightings.bytes(end);
    if (this.#begun !== null) {
      const seam = Buffer.concat([this.#begun, end.subarray(0, longest - 1)]);
      sightings.bytes(seam);
      if (end.length < longest) end = seam;
    }
    this.#begun = sightings.beginningIn(end);
  }

  /** Nothing more comes. */
  end(): void {
    this.#begun = null;
  }
}
