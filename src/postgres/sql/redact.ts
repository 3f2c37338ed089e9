/**
 * Cuts secrets out of a text of SQL before it is hashed or stored. Works on words and literals, not on the parse tree:
 * a text that cannot be parsed is recorded too. One pass from left to right, without recursion: its cost grows with the
 * length of the text and with nothing else, however it nests.
 */
import { dollarQuotes } from './dollar.js';

const MASK = "'[redacted]'";

const WORD = String.raw`\w\u0080-\uffff`;
const NAME = String.raw`[a-z_\u0080-\uffff][${WORD}]*`;
/** A word begins here; so does one right after a number ($1to is $1 and TO before PostgreSQL 15). */
const START = String.raw`(?=[a-z_\u0080-\uffff])(?:(?<![${WORD}])|(?<=(?<![${WORD}])\d+))`;

/**
 * The next thing that matters: a literal, a quoted name, a comment, the word before a secret, a dollar quote. A name with
 * dollar signs in it is passed over whole, so that none of them begins a quote.
 */
const NEXT = new RegExp(
  [
    String.raw`${START}(?:e'|(?:ssl)?(?:password|passwd|passphrase|secret|connection)(?![$${WORD}])|${NAME}\$[$${WORD}]*)`,
    String.raw`['"]|--[^\n]*|/\*`,
    String.raw`\$(?:${NAME})?\$`,
  ].join('|'),
  'gi',
);
/** What may stand between the word and its secret. */
const BETWEEN = new RegExp(String.raw`(?:\s+|--[^\n]*|[=(:]|(?:to|as|encrypted|unencrypted)(?![$${WORD}]))+`, 'iy');
/** How the secret begins. */
const SECRET = new RegExp(String.raw`(?:[ebxn]|u&)?'|\$(?:${NAME})?\$`, 'iy');
const SECRET_NAME = /^"(?:ssl)?(?:password|passwd|passphrase|secret|connection)"$/i;

/** `password=…` in a connection string, `PASSWORD ''…''` in SQL inside a literal, and the password of a URL. */
const INNER: readonly (readonly [RegExp, string])[] = [
  [/((?:password|passwd|passfile)\s*=\s*)(?:\\'[^']*'|''[^']*''|'[^']*'|"[^"]*"|[^\s'"&;]+)/gi, '$1[redacted]'],
  [/(password\s+)''[^']*(?:''''[^']*)*''/gi, "$1''[redacted]''"],
  [/(\b[a-z][a-z0-9+.-]{0,30}:\/\/[^\s:/@']{0,200}:)[^\s@/']{1,1000}@/gi, '$1[redacted]@'],
];

/**
 * The text without what follows PASSWORD, without connection strings, and without passwords inside other literals.
 * @param isCut - the text is the beginning of a longer one: the literal it ends in may be half a secret
 */
export function redactSql(text: string, isCut = false): string {
  if (!/pass|secret|connection|:\/\//i.test(text)) return text;
  return new Redaction(text, isCut).run();
}

/** A dollar-quoted body that is being read as SQL: where it ends, and where what follows it begins. */
interface Body {
  readonly end: number;
  readonly after: number;
}

class Redaction {
  readonly #text: string;
  readonly #isCut: boolean;
  readonly #closing: (at: number, quote: string, limit: number) => number;
  /** The bodies around this place, the innermost last; the whole text is the first. */
  readonly #bodies: Body[];
  #out = '';
  /** How far the text is copied to `#out`. */
  #copied = 0;

  constructor(text: string, isCut: boolean) {
    this.#text = text;
    this.#isCut = isCut;
    this.#closing = dollarQuotes(text);
    this.#bodies = [{ end: text.length, after: text.length }];
  }

  run(): string {
    let at = 0;
    for (let body = this.#bodies.at(-1); body; body = this.#bodies.at(-1)) {
      // Nothing of a body may reach over its end.
      const within = this.#text.slice(0, body.end);
      while (at < body.end && body === this.#bodies.at(-1)) at = this.#piece(at, within);
      if (body !== this.#bodies.at(-1)) continue;
      at = body.after;
      this.#bodies.pop();
    }
    return this.#out + this.#text.slice(this.#copied);
  }

  /** @returns where to go on */
  #piece(at: number, text: string): number {
    NEXT.lastIndex = at;
    const found = NEXT.exec(text);
    if (found === null) return text.length;
    const [piece] = found;
    const { lastIndex } = NEXT;
    if (piece === "'" || /^e'$/i.test(piece)) return this.#literal(found.index, endOfLiteral(text, lastIndex, piece));
    if (piece === '"') return this.#quoted(found.index, endOfQuoted(text, lastIndex, '"'), text);
    if (piece === '/*') return endOfComment(text, found.index);
    if (piece.startsWith('$')) return this.#enter(lastIndex, piece, text.length);
    if (piece.startsWith('--') || piece.includes('$')) return lastIndex;
    return this.#secret(lastIndex, text);
  }

  /** After a word that names a secret: masks every literal that belongs to it ('a' and, on the next line, 'b' are one). */
  #secret(from: number, text: string): number {
    for (let at = from; ; ) {
      const begin = afterLinks(text, at);
      SECRET.lastIndex = begin;
      const [opener] = SECRET.exec(text) ?? [];
      if (opener === undefined) return at;
      const end = opener.endsWith("'")
        ? endOfLiteral(text, SECRET.lastIndex, opener)
        : this.#closed(SECRET.lastIndex, opener, text.length).after;
      at = this.#replace(begin, end, MASK);
    }
  }

  #quoted(at: number, end: number, text: string): number {
    return SECRET_NAME.test(text.slice(at, Math.min(end, at + MOST_SECRET_NAME))) ? this.#secret(end, text) : end;
  }

  #literal(at: number, end: number): number {
    const literal = this.#text.slice(at, end);
    if (!/pass|:\/\//i.test(literal)) return end;
    if (this.#isCut && end === this.#text.length) return this.#replace(at, end, MASK);
    const shown = INNER.reduce((text, [pattern, by]) => text.replace(pattern, by), literal);
    return shown === literal ? end : this.#replace(at, end, shown);
  }

  #enter(begin: number, quote: string, limit: number): number {
    this.#bodies.push(this.#closed(begin, quote, limit));
    return begin;
  }

  #closed(begin: number, quote: string, limit: number): Body {
    const close = this.#closing(begin, quote, limit);
    return close < 0 ? { end: limit, after: limit } : { end: close, after: close + quote.length };
  }

  #replace(at: number, end: number, by: string): number {
    this.#out += this.#text.slice(this.#copied, at) + by;
    this.#copied = end;
    return end;
  }
}

/** Longer than any quoted name of a secret. */
const MOST_SECRET_NAME = 32;

function afterLinks(text: string, from: number): number {
  for (let at = from; ; ) {
    BETWEEN.lastIndex = at;
    at = BETWEEN.test(text) ? BETWEEN.lastIndex : at;
    if (!text.startsWith('/*', at)) return at;
    at = endOfComment(text, at);
  }
}

/** Where a literal ends whose first character is at `at`; a backslash takes the next character along in E'…'. */
function endOfLiteral(text: string, at: number, opener: string): number {
  if (!/^e/i.test(opener)) return endOfQuoted(text, at, "'");
  const marks = /\\[\s\S]?|''|'/g;
  marks.lastIndex = at;
  for (let mark = marks.exec(text); mark; mark = marks.exec(text)) if (mark[0] === "'") return marks.lastIndex;
  return text.length;
}

/** A doubled quote stands for one. */
function endOfQuoted(text: string, at: number, quote: string): number {
  for (let next = text.indexOf(quote, at); next >= 0; next = text.indexOf(quote, next + 2)) {
    if (text[next + 1] !== quote) return next + 1;
  }
  return text.length;
}

/** Comments nest. */
function endOfComment(text: string, at: number): number {
  const marks = /\/\*|\*\//g;
  marks.lastIndex = at;
  let depth = 0;
  for (let mark = marks.exec(text); mark; mark = marks.exec(text)) {
    depth += mark[0] === '/*' ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
  return text.length;
}
