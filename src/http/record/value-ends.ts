/** Where the value that stands behind a name in a text ends: in JSON, in markup, in lines. */

const JSON_STRING = { '"': /"(?:[^"\\]|\\.)*("|$)/sy, "'": /'(?:[^'\\]|\\.)*('|$)/sy } as const;
const JSON_WORD = /[^\s,\]}]*/y;

/** Where a JSON value ends: a string, a number or word, or an array or object with all that is in it. */
export function endOfValue(text: string, from: number): number {
  let at = from;
  let depth = 0;
  do {
    const character = text.charAt(at);
    if (character === '[' || character === '{') depth += 1;
    else if (character === ']' || character === '}') depth -= 1;
    at = endOfPiece(text, at, character);
  } while (depth > 0 && at < text.length);
  return Math.min(at, text.length);
}

function endOfPiece(text: string, at: number, character: string): number {
  if (character === '"' || character === "'") return endOf(JSON_STRING[character], text, at);
  return /[[\]{},:\s]/.test(character) ? at + 1 : endOf(JSON_WORD, text, at);
}

function endOf(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? Math.max(pattern.lastIndex, at + 1) : text.length;
}

const REST_OF_LINE = /[^\r\n"<]*/y;
const REST_OF_WORD = /[^&\s"'<>]*/y;

/** Where the value behind a bare name ends: `password: my cat` to the end of its line, `password=cat&…` to the next separator. */
export function endOfBare(text: string, from: number): number {
  const character = text.charAt(from);
  if (/["'[{]/.test(character)) return endOfValue(text, from);
  return endOf(/:\s*$/.test(text.slice(Math.max(0, from - 16), from)) ? REST_OF_LINE : REST_OF_WORD, text, from);
}

/** The next `&`. */
export function endOfParameter(text: string, from: number): number {
  const end = text.indexOf('&', from);
  return end === -1 ? text.length : end;
}

/** The same for many places of one text: of thousands in one parameter its end is looked for once. */
export class ParameterEnds {
  readonly #text: string;
  #from = 0;
  #end = -1;

  constructor(text: string) {
    this.#text = text;
  }

  behind(from: number): number {
    if (from < this.#from || from > this.#end) {
      this.#from = from;
      this.#end = endOfParameter(this.#text, from);
    }
    return this.#end;
  }
}
