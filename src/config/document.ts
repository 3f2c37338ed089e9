import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Scalar,
  visit,
} from 'yaml';
import { messageOf } from '../errors.js';

/** A path of keys and indices into a file. */
export type Path = readonly (string | number)[];

/** How much of a key is told, characters. */
const LONGEST_KEY = 200;

/** Where something stands in a file; both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Something wrong with the text itself, whatever it is about. */
export interface TextProblem extends Position {
  readonly message: string;
  readonly hint?: string;
}

/** A file's content with the places its parts came from. */
export interface SourceDocument {
  /** Plain values; undefined when the text could not be understood. */
  readonly value: unknown;
  readonly problems: readonly TextProblem[];
  /** Whether the file has something at `path`. */
  has(path: Path): boolean;
  /** Where the value (or the key) at `path` stands; for what is missing, where the nearest thing around it starts. */
  positionOf(path: Path, part: 'key' | 'value'): Position;
}

/**
 * Reads one YAML 1.2 document (core schema). Whatever could make two readers see two different things is refused:
 * duplicate keys, aliases, tags, directives, keys that are no text, numbers that read as others than they are written, a second
 * document.
 */
export function readDocument(text: string): SourceDocument {
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  try {
    // The library compares each key with all others of its map: of a draft with a hundred thousand that takes minutes.
    const options = { schema: 'core', lineCounter: lines, prettyErrors: false, uniqueKeys: false } as const;
    const document = parseDocument(text, { version: '1.2', ...options });
    const strange = strangeParts(document, at);
    const problems = [...syntaxProblems(document, at), ...duplicateKeys(document, text, at), ...strange];
    // After a duplicate key the rest can still be judged; after any other fault it would be guesswork.
    const readable = strange.length === 0 && document.errors.length === 0;
    return {
      value: readable ? document.toJS() : undefined,
      problems,
      has: (path) => find(document, path).depth === path.length,
      positionOf: (path, part) => at(offsetOf(document, path, part)),
    };
  } catch (error) {
    const start = { line: 1, column: 1 };
    const problem = { ...start, message: `cannot be read as YAML: ${messageOf(error)}` };
    return { value: undefined, problems: [problem], has: () => false, positionOf: () => start };
  }
}

function syntaxProblems(document: Document, at: (offset: number) => Position): TextProblem[] {
  return [...document.errors, ...document.warnings].map(({ code, message, pos }) => ({
    ...at(pos[0]),
    message: code === 'MULTIPLE_DOCS' ? 'a second document is not allowed' : message,
  }));
}

function duplicateKeys(document: Document, text: string, at: (offset: number) => Position): TextProblem[] {
  const problems: TextProblem[] = [];
  const tell = (offset: number) => {
    const key = /^["']?([^"':\s]+)/.exec(text.slice(offset, offset + LONGEST_KEY))?.[1] ?? '';
    problems.push({ ...at(offset), message: `duplicate key "${key}"`, hint: 'keep one of them' });
  };
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) tell(startOf(key) ?? 0);
        seen.add(key.value);
      }
    },
  });
  return problems;
}

function strangeParts(document: Document, at: (offset: number) => Position): TextProblem[] {
  const problems: TextProblem[] = [];
  const add = (node: unknown, message: string, hint: string) => {
    problems.push({ ...at(startOf(node) ?? 0), message, hint });
  };
  if (document.directives?.yaml.explicit)
    add(null, 'a %YAML directive is not allowed', 'files are YAML 1.2; remove it');
  visit(document, {
    Alias: (_, node) => add(node, 'an alias is not allowed', 'write the value out, or use "extends" for roles'),
    Node: (_, node) => {
      if (isNode(node) && !isAlias(node)) {
        if (node.anchor) add(node, 'an anchor is not allowed', 'write the value out, or use "extends" for roles');
        if (node.tag) add(node, `the tag ${node.tag} is not allowed`, 'remove it');
        if (isScalar(node) && !readsAsWritten(node)) {
          const { value, source } = node;
          add(node, `${source} reads as ${value}`, `write ${value}, or "${source}" if it is a text`);
        }
      }
    },
    Pair: (_, { key }) => {
      const isText = isScalar(key) && typeof key.value === 'string';
      if (!isText || key.value === '__proto__') add(key, 'a key must be plain text', 'put it in quotes if it is one');
    },
  });
  return problems;
}

/** Whether a number or a truth value is spelled as it is read: of a text `1.0` there would be 1 left, and of `007` a 7. */
function readsAsWritten({ value, source }: Scalar): boolean {
  return (typeof value !== 'number' && typeof value !== 'boolean') || source === String(value);
}

/** The deepest thing that exists on the way to `path`. */
function find(document: Document, path: Path): { key: unknown; value: unknown; depth: number } {
  let here: { key: unknown; value: unknown; depth: number } = { key: null, value: document.contents, depth: 0 };
  for (const segment of path) {
    const next = childOf(here.value, segment);
    if (next === undefined) return here;
    here = { ...next, depth: here.depth + 1 };
  }
  return here;
}

function childOf(parent: unknown, segment: string | number): { key: unknown; value: unknown } | undefined {
  if (isMap(parent)) return parent.items.find(({ key }) => isScalar(key) && key.value === segment);
  if (!isSeq(parent) || typeof segment !== 'number' || segment >= parent.items.length) return undefined;
  return { key: null, value: parent.items[segment] };
}

function offsetOf(document: Document, path: Path, part: 'key' | 'value'): number {
  const { key, value, depth } = find(document, path);
  const wanted = part === 'key' && depth === path.length ? key : value;
  return startOf(wanted) ?? startOf(key) ?? 0;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
