import type { Compiled } from '../../src/config/protocol.js';
import { type PostgresUpstream, postgresConfig } from '../../src/postgres/policy.js';
import type { PostgresRole } from '../../src/postgres/role.js';

export const UPSTREAM: PostgresUpstream = {
  host: '127.0.0.1',
  port: 5433,
  database: 'orders',
  user: 'daypass_reader',
  password: 'secret',
  tls: { mode: 'disable' },
};

/** A role compiled from its chain of blocks. */
export function compile(...chain: unknown[]): Compiled<PostgresRole> {
  return postgresConfig.compileRole('tested', chain, UPSTREAM);
}

/** As `compile`; the chain must be without problems. */
export function roleOf(...chain: unknown[]): PostgresRole {
  const compiled = compile(...chain);
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  return compiled.value;
}

export const READER = {
  search_path: ['public'],
  allow: [
    {
      statements: ['select', 'explain', 'show', 'copy-out'],
      relations: ['public.orders', 'public.order_items', 'public.order_summary'],
    },
  ],
};
