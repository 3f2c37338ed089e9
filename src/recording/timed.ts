import type { QueryConfig } from 'pg';

/** `pg` takes a limit per query; its types do not say so. A connection that exceeds it is dropped from the pool. */
export interface TimedQuery extends QueryConfig {
  readonly query_timeout: number;
}

/** A query that fails where the ledger takes longer for it. @param within - milliseconds */
export function timed(within: number, text: string, values: readonly unknown[] = []): TimedQuery {
  return { text, values: [...values], query_timeout: within };
}
