import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import createModule, { type PgQueryModule } from 'libpg-query/wasm/libpg-query.js';

/**
 * PostgreSQL's own grammar. A text nested too deep for the stack throws a RangeError out of the WASM code, which
 * leaves the instance's own stack pointer where it was: after some thirty of those the instance never returns from
 * a parse. So an instance that threw is never used again. The library's entry point cannot replace its
 * instance; we make our own from the compiled module. That takes microtasks only: the next message from any client
 * finds a fresh instance, and only what is parsed in the very same turn is refused.
 */
let compiled: WebAssembly.Module | undefined;
let instance: PgQueryModule | undefined;

/** A parse tree as JSON, or why there is none. */
export type Parsed = { readonly ok: true; readonly tree: unknown } | { readonly ok: false; readonly message: string };

/** Loads the grammar; called once before the first `parseText`. */
export async function loadParser(): Promise<void> {
  if (instance) return;
  const wasm = createRequire(import.meta.url).resolve('libpg-query/wasm/libpg-query.wasm');
  compiled ??= await WebAssembly.compile(await readFile(wasm));
  instance = await freshInstance(compiled);
}

function freshInstance(module: WebAssembly.Module): Promise<PgQueryModule> {
  return createModule({
    instantiateWasm(imports, receive) {
      const made = new WebAssembly.Instance(module, imports);
      receive(made, module);
      return made.exports;
    },
  });
}

function replaceInstance(): void {
  instance = undefined;
  if (!compiled) return;
  freshInstance(compiled).then(
    (made) => {
      instance = made;
    },
    // Without an instance every text is refused; the next refusal tries again.
    () => undefined,
  );
}

/** Parses one text. Never throws. */
export function parseText(text: string): Parsed {
  if (!instance) {
    replaceInstance();
    return { ok: false, message: 'the SQL parser is not ready; try again' };
  }
  try {
    return parseWith(instance, text);
  } catch {
    replaceInstance();
    return { ok: false, message: 'the statement is nested too deeply or too large to be parsed' };
  }
}

/** What resolving names may cost: each column is looked for in each item of FROM. */
const MOST_LOOKUPS = 1_000_000;
const MOST_STATEMENTS = 2_000;
/** Whatever stands in FROM and gives columns a name to come from. */
const FROM_ITEMS = [
  'RangeVar',
  'RangeFunction',
  'RangeSubselect',
  'RangeTableFunc',
  'RangeTableSample',
  'JsonTable',
  'JoinExpr',
];
/** What is looked for in them, and what is made of them: the more numerous counts, since one mostly stands in the other. */
const COLUMNS = ['ColumnRef', 'A_Indirection', 'ResTarget'];

/** Counted in the tree's text, before anything walks it: one client's statement must not hold up the others. */
function isTooMuch(json: string): boolean {
  const count = (tag: string) => json.split(`"${tag}":`).length - 1;
  const items = FROM_ITEMS.reduce((all, tag) => all + count(tag), 0);
  const columns = Math.max(...COLUMNS.map(count));
  return columns * items > MOST_LOOKUPS || count('stmt_len') > MOST_STATEMENTS;
}

// Offsets of PgQueryParseResult and PgQueryError, libpg_query's pg_query.h.
const TREE = 0;
const ERROR = 8;
const ERROR_MESSAGE = 0;

function parseWith(module: PgQueryModule, text: string): Parsed {
  const bytes = module.lengthBytesUTF8(text) + 1;
  const pointer = module._malloc(bytes);
  if (pointer === 0) throw new RangeError('out of memory');
  module.stringToUTF8(text, pointer, bytes);
  const result = module._wasm_parse_query_raw(pointer);
  if (result === 0) throw new RangeError('out of memory');
  const parsed = readResult(module, result);
  // Not in a `finally`: an instance that threw is thrown away whole.
  module._wasm_free_parse_result(result);
  module._free(pointer);
  return parsed;
}

function readResult(module: PgQueryModule, result: number): Parsed {
  const error = module.getValue(result + ERROR, 'i32');
  if (error !== 0) {
    return { ok: false, message: module.UTF8ToString(module.getValue(error + ERROR_MESSAGE, 'i32')) };
  }
  const json = module.UTF8ToString(module.getValue(result + TREE, 'i32'));
  if (isTooMuch(json)) return { ok: false, message: 'the statement names too many relations, columns or statements' };
  return { ok: true, tree: JSON.parse(json) };
}
