import type { PostgresRole } from './role.js';

/** Why a result is cut: the key of the role that did it, and the words for the person. */
export interface Overrun {
  readonly key: 'max_rows' | 'max_bytes';
  readonly message: string;
}

/** What the role's limits say of a result that has come this far, the message at hand included; null while it is within them. */
export function overrun(role: PostgresRole, rows: number, bytes: number): Overrun | null {
  if (role.maxRows !== null && rows > role.maxRows) {
    return {
      key: 'max_rows',
      message: `the result has more than the ${role.maxRows} rows that the role ${role.name} may take`,
    };
  }
  if (role.maxBytes !== null && bytes > role.maxBytes) {
    return {
      key: 'max_bytes',
      message: `the result has more than the ${role.maxBytes} bytes that the role ${role.name} may take`,
    };
  }
  return null;
}

const UNITS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * A time as PostgreSQL reads a setting whose unit is the millisecond (guc.c, parse_int).
 * @returns milliseconds, or null for what is not surely one
 */
export function milliseconds(text: string): number | null {
  const match = /^\s*(\d{1,12}(?:\.\d{1,12})?)\s*(us|ms|s|min|h|d)?\s*$/.exec(text);
  const unit = UNITS[match?.[2] ?? 'ms'];
  return match === null || unit === undefined ? null : Number(match[1]) * unit;
}

/** Why a role may not set `statement_timeout` to this, or null. Zero would be no limit at all. */
export function refuseTimeout(value: string, limit: number | null): string | null {
  if (limit === null) return null;
  const wanted = milliseconds(value);
  return wanted !== null && wanted >= 1 && wanted <= limit ? null : `statement_timeout may be 1 to ${limit} ms`;
}
