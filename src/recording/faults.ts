/**
 * Whether Postgres refused what was written, rather than being out of reach: data exceptions (22), broken constraints (23),
 * rights and names (42), program limits (54). Writing the same thing again would fail again.
 * Source: PostgreSQL, appendix A, error codes.
 */
export function isContentFault(thrown: unknown): boolean {
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : '';
  return /^(22|23|42|54)[0-9A-Z]{3}$/.test(code);
}

/** Whether Postgres refused a value: what never can be written, whatever is mended around it. */
export function isDataException(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown && /^22/.test(String(thrown.code));
}
