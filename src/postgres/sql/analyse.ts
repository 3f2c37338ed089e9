import type { Analysis, Statement } from './analysis.js';
import { SizedCache } from './cache.js';
import { numberBlindKey } from './key.js';
import { parseText } from './parser.js';
import { statementOf } from './statement.js';
import { isFields, listOf } from './tree.js';

export { loadParser } from './parser.js';

/** Longest text that is parsed, in UTF-16 code units. PostgreSQL would take more; nobody reviews more. */
export const MAX_TEXT = 1_048_576;

// A text longer than this is parsed anew each time: it is no statement of an application's inner loop.
const MAX_KEPT_TEXT = 65_536;
const MAX_KEPT = 4_000;
const MAX_KEPT_BYTES = 8 * 1_048_576;
// Rough bytes of an entry besides its text.
const ENTRY_OVERHEAD = 512;

// A key that is a text and a key that is blind to numbers look alike and mean different things, hence the prefixes.
const kept = new SizedCache<Analysis>(MAX_KEPT, MAX_KEPT_BYTES);
const EXACT = '=';
const BLIND = '#';

/** Statements whose analysis holds nothing that a number could change: no settings, no options. */
const BLIND_VERBS: ReadonlySet<string> = new Set(['select', 'insert', 'update', 'delete', 'merge', 'transaction']);

/**
 * What a text of SQL does. Never throws: what cannot be told is a denial (`unparsable`, `too_large`, `unknown_effect`).
 * The text is judged as UTF-8 with standard_conforming_strings on: the session it runs in must be pinned to both.
 */
export function analyse(text: string): Analysis {
  if (text.length > MAX_KEPT_TEXT) return analyseAnew(text);
  const exact = EXACT + text;
  const known = kept.get(exact);
  if (known) return known;
  const blindKey = numberBlindKey(text);
  const blind = blindKey === null ? null : BLIND + blindKey;
  const alike = blind === null ? undefined : kept.get(blind);
  if (alike) return alike;
  const analysis = analyseAnew(text);
  const key = blind !== null && isNumberBlind(analysis) ? blind : exact;
  // Two bytes a code unit for the key, as much again for what was found in it.
  if (isLasting(analysis)) kept.set(key, analysis, ENTRY_OVERHEAD + 4 * text.length);
  return analysis;
}

function isNumberBlind(analysis: Analysis): boolean {
  return analysis.ok && analysis.statements.every((statement) => BLIND_VERBS.has(statement.verb));
}

/** A parser that was not ready may be so the next time. */
function isLasting(analysis: Analysis): boolean {
  return analysis.ok;
}

function analyseAnew(text: string): Analysis {
  if (text.length > MAX_TEXT) {
    return { ok: false, reason: 'too_large', message: `the statement is longer than ${MAX_TEXT} characters` };
  }
  // The parser's copy of the text would end at a NUL, and a lone surrogate has no UTF-8.
  if (/\0|\p{Surrogate}/u.test(text)) {
    return { ok: false, reason: 'unparsable', message: 'the statement is not valid UTF-8 text' };
  }
  const parsed = parseText(text);
  if (!parsed.ok) return { ok: false, reason: 'unparsable', message: parsed.message };
  try {
    return { ok: true, statements: statementsOf(parsed.tree) };
  } catch {
    return { ok: false, reason: 'unknown_effect', message: 'the statement is nested too deeply to be judged' };
  }
}

function statementsOf(tree: unknown): readonly Statement[] {
  if (!isFields(tree)) throw new TypeError('no parse tree');
  return listOf(tree.stmts).map((item) => statementOf(isFields(item) ? item.stmt : undefined));
}
