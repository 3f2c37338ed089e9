import type { Analysis, Statement } from './analysis.js';
import { SizedCache } from './cache.js';
import { numberBlindKey } from './key.js';
import { parseText } from './parser.js';
import { statementOf } from './statement.js';
import { isFields, listOf } from './tree.js';
import { weightOfAnalysis } from './weight.js';

export { loadParser } from './parser.js';

/** Longest text that is parsed, in UTF-16 code units. PostgreSQL would take more; nobody reviews more. */
export const MAX_TEXT = 65_536;

/**
 * The server's scanner reads a run of operator characters anew at each comment that begins in it, so a text of nothing but
 * comment openers takes quadratic time (16 KB: 0.2 s; 400 KB: minutes). Nobody writes a run this long.
 */
const OPERATOR_RUN = /[~!@#^&|`?+\-*/%<>=]{257}/;

// A text longer than this is parsed anew each time: it is no statement of an application's inner loop.
const MAX_KEPT_TEXT = 65_536;
// Of each of the two caches.
const MAX_KEPT = 2_000;
const MAX_KEPT_BYTES = 8 * 1_048_576;

// Two, since a key that is a text and a key that is blind to numbers look alike and mean different things.
const byText = new SizedCache<Analysis>(MAX_KEPT, MAX_KEPT_BYTES);
const byBlindKey = new SizedCache<Analysis>(MAX_KEPT, MAX_KEPT_BYTES);

/** Statements whose analysis holds nothing that a number could change: no settings, no options. */
const BLIND_VERBS: ReadonlySet<string> = new Set(['select', 'insert', 'update', 'delete', 'merge', 'transaction']);

/**
 * What a text of SQL does. Never throws: what cannot be told is a denial (`unparsable`, `too_large`, `unknown_effect`).
 * The text is judged as UTF-8 with standard_conforming_strings on: the session it runs in must be pinned to both.
 */
export function analyse(text: string): Analysis {
  if (text.length > MAX_KEPT_TEXT) return analyseAnew(text);
  const blindKey = numberBlindKey(text);
  const known = (blindKey === null ? undefined : byBlindKey.get(blindKey)) ?? byText.get(text);
  if (known) return known;
  const analysis = analyseAnew(text);
  // What failed is not kept: a parser that was not ready may be so the next time.
  if (!analysis.ok) return analysis;
  // Two bytes a code unit for the key, as much again for the names in it.
  const size = 4 * text.length + weightOfAnalysis(analysis);
  if (blindKey !== null && isNumberBlind(analysis)) byBlindKey.set(blindKey, analysis, size);
  else byText.set(text, analysis, size);
  return analysis;
}

function isNumberBlind(analysis: Analysis): boolean {
  return analysis.ok && analysis.statements.every((statement) => BLIND_VERBS.has(statement.verb));
}

function analyseAnew(text: string): Analysis {
  if (text.length > MAX_TEXT) {
    return { ok: false, reason: 'too_large', message: `the statement is longer than ${MAX_TEXT} characters` };
  }
  // The parser's copy of the text would end at a NUL, and a lone surrogate has no UTF-8.
  if (/\0|\p{Surrogate}/u.test(text)) {
    return { ok: false, reason: 'unparsable', message: 'the statement is not valid UTF-8 text' };
  }
  if (OPERATOR_RUN.test(text)) {
    return { ok: false, reason: 'too_large', message: 'the statement has too many operator characters in a row' };
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
