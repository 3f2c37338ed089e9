/**
 * Cuts secrets out of a text of SQL before it is hashed or stored. Works on words and literals, not on the parse tree:
 * a text that cannot be parsed is recorded too.
 */

const MASK = "'[redacted]'";

/** One piece: white space, a comment, a literal, a quoted name, a word, or any other character. */
const PIECE = new RegExp(
  [
    String.raw`(?<blank>\s+|--[^\n]*|/\*)`,
    String.raw`(?<literal>[eE]'[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*(?:'|\\?$)|(?:[nNbBxX]|[uU]&)?'[^']*(?:''[^']*)*(?:'|$))`,
    String.raw`(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)`,
    String.raw`(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|"[^"]*(?:""[^"]*)*(?:"|$))`,
    String.raw`(?<rest>[\s\S])`,
  ].join('|'),
  'y',
);

/** The word before a literal that makes it a secret. */
const SECRET_WORD = /^"?(?:ssl)?(?:password|passwd|passphrase|secret|connection)"?$/i;

/** `password=…` in a connection string, `PASSWORD ''…''` in SQL inside a literal, and the password of a URL. */
const INNER: readonly (readonly [RegExp, string])[] = [
  [/((?:password|passwd|passfile)\s*=\s*)(?:''[^']*''|'[^']*'|"[^"]*"|[^\s'"&;]+)/gi, '$1[redacted]'],
  [/(password\s+)''[^']*(?:''''[^']*)*''/gi, "$1''[redacted]''"],
  [/(\b[a-z][a-z0-9+.-]{0,30}:\/\/[^\s:/@']{0,200}:)[^\s@/']{1,1000}@/gi, '$1[redacted]@'],
];

/** The text without what follows PASSWORD, without connection strings, and without passwords inside other literals. */
export function redactSql(text: string): string {
  if (!/pass|secret|connection|:\/\//i.test(text)) return text;
  let out = '';
  let secretNext = false;
  for (let at = 0; at < text.length; ) {
    PIECE.lastIndex = at;
    const groups = PIECE.exec(text)?.groups;
    // PIECE matches anywhere; were it ever not to, nothing more of the text is shown.
    if (!groups) return `${out}[redacted]`;
    const end = groups.dollar === undefined ? endOf(text, at, PIECE.lastIndex) : endOfDollar(text, at, groups.dollar);
    const piece = text.slice(at, end);
    const isLiteral = groups.literal !== undefined || groups.dollar !== undefined;
    if (isLiteral) out += secretNext ? MASK : withoutInner(piece, groups.dollar);
    else out += piece;
    // After a literal it stays as it was: 'a' and, on the next line, 'b' are one literal.
    if (groups.word !== undefined) secretNext = SECRET_WORD.test(piece) || (secretNext && FILLER.test(piece));
    else if (groups.rest !== undefined) secretNext &&= LINK.test(piece);
    at = end;
  }
  return out;
}

/** Words and marks that may stand between PASSWORD and its literal. */
const FILLER = /^(?:to|as|encrypted|unencrypted)$/i;
const LINK = /^[=(:]$/;

function endOf(text: string, at: number, end: number): number {
  return text.startsWith('/*', at) ? endOfComment(text, at) : end;
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

function endOfDollar(text: string, at: number, quote: string): number {
  const close = text.indexOf(quote, at + quote.length);
  return close < 0 ? text.length : close + quote.length;
}

function withoutInner(literal: string, dollar: string | undefined): string {
  if (dollar !== undefined) {
    const close = literal.length >= 2 * dollar.length && literal.endsWith(dollar) ? dollar : '';
    return dollar + redactSql(literal.slice(dollar.length, literal.length - close.length)) + close;
  }
  return INNER.reduce((text, [pattern, by]) => text.replace(pattern, by), literal);
}
