/** The head of a part and the empty line behind it; lines may be folded (RFC 7578, RFC 5322 section 2.2.3). */
const END_OF_HEAD = /\r?\n\r?\n/;
const NAME = /(?:^|[;\s])name\*?\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s;]*))/gis;
const BOUNDARY = /;\s*boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;,]{1,200}))/i;

/** Where a part's content stands. */
interface Content {
  readonly from: number;
  readonly to: number;
}

/**
 * The contents of those parts of a multipart body that are named like credentials. Where its type names no boundary, whatever
 * line begins with `--` may be one, and what follows the first such name goes to the end of the text.
 */
export function secretParts(
  text: string,
  contentType: string,
  isSecret: (name: string) => boolean,
): readonly Content[] {
  const [, quoted, plain] = BOUNDARY.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  const secret: Content[] = [];
  for (const { from, to } of between(text, `--${boundary ?? ''}`)) {
    const part = text.slice(from, to);
    const head = END_OF_HEAD.exec(part);
    if (head === null || !namesIn(part.slice(0, head.index)).some(isSecret)) continue;
    secret.push({ from: from + head.index + head[0].length, to: boundary === undefined ? text.length : to });
    if (boundary === undefined) break;
  }
  return secret;
}

function namesIn(head: string): readonly string[] {
  return [...head.matchAll(NAME)].map(([, quoted, plain]) => decoded(quoted ?? plain ?? ''));
}

/** As forms and RFC 5987 (`utf-8''name`) escape it. */
function decoded(name: string): string {
  return name
    .replace(/^[\w-]*'[\w-]*'/, '')
    .replace(/%([0-7][0-9a-f])/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

function* between(text: string, delimiter: string): Generator<Content> {
  let at = text.indexOf(delimiter);
  while (at !== -1) {
    const from = at + delimiter.length;
    at = delimiterAfter(text, delimiter, from);
    yield { from, to: at === -1 ? text.length : lineBefore(text, at) };
  }
}

/** At the beginning of a line alone. */
function delimiterAfter(text: string, delimiter: string, from: number): number {
  const at = text.indexOf(`\n${delimiter}`, from);
  return at === -1 ? -1 : at + 1;
}

/** The line break belongs to the delimiter. */
function lineBefore(text: string, at: number): number {
  return text.charAt(at - 2) === '\r' ? at - 2 : at - 1;
}
