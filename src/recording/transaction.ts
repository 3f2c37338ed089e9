import type { Pool, PoolClient } from 'pg';
import { timed } from './timed.js';

/** How long the ledger may take to take it back, milliseconds. */
const WITHIN = 1_000;

/** Runs some work in one transaction: committed when it resolves, rolled back when it throws. */
export async function inTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken = true;
  try {
    await client.query('begin');
    const answer = await work(client);
    await client.query('commit');
    broken = false;
    return answer;
  } catch (thrown) {
    broken = !(await rolledBack(client));
    throw thrown;
  } finally {
    client.release(broken);
  }
}

/** Takes a transaction back. @returns whether the ledger has said so */
export function rolledBack(client: PoolClient): Promise<boolean> {
  return client.query(timed(WITHIN, 'rollback')).then(
    () => true,
    () => false,
  );
}
