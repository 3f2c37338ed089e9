/**
 * Settings a restricted role may change for its session. Left out on purpose: what decides whose rights apply or what
 * names mean (role, session_authorization, search_path; judge.ts says when that may be emptied), what keeps a session read-only
 * (transaction_read_only) and what changes how a text is read (backslash_quote).
 */
const FREE: ReadonlySet<string> = new Set(
  `application_name bytea_output client_min_messages cursor_tuple_fraction datestyle default_text_search_config
   default_transaction_deferrable default_transaction_isolation extra_float_digits geqo idle_in_transaction_session_timeout
   idle_session_timeout intervalstyle jit lc_monetary lc_numeric lc_time lock_timeout max_parallel_workers_per_gather plan_cache_mode
   quote_all_identifiers random_page_cost seed statement_timeout timezone transaction_deferrable transaction_isolation
   row_security synchronize_seqscans transaction_timeout xmloption`.split(/\s+/),
);

/** Settings that may be set to these values only, compared in lower case. */
const PINNED: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['client_encoding', new Set(['utf8', 'utf-8', 'unicode'])],
  ['standard_conforming_strings', new Set(['on', 'true', '1', 'yes'])],
  // How psycopg2 makes a session read-only; it goes back by RESET alone, to what the gateway chose.
  ['default_transaction_read_only', new Set(['on', 'true', '1', 'yes'])],
  // It refuses views and foreign tables: less of it could be less than the account was given.
  ['restrict_nonsystem_relation_kind', new Set(['view, foreign-table'])],
]);

/** The planner's switches: `enable_seqscan` and its like. */
const SWITCH = /^enable_[a-z_]+$/;

/** Whether SET name = value is harmless for a restricted role. @param value - null: it may be any */
export function maySet(name: string, value: string | null): boolean {
  return mayReset(name) && (PINNED.get(name)?.has(value?.toLowerCase() ?? '') ?? true);
}

/** Whether RESET name is: it goes back to what the gateway chose when it connected. */
export function mayReset(name: string): boolean {
  return FREE.has(name) || PINNED.has(name) || SWITCH.test(name);
}
