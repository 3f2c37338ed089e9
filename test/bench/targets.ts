import type { Peer } from './report.js';

/** What a figure has to reach: a ratio to a peer, or a time or size of our own. */
export type Target = { readonly ratioAtLeast: number } | { readonly atMost: number };

interface TargetOf {
  readonly bench: string;
  readonly case: RegExp;
  readonly peer: Peer | null;
  readonly target: Target;
}

/** The targets the project has set itself; the others are figures to know. Milliseconds, KiB. */
const TARGETS: readonly TargetOf[] = [
  { bench: 'postgres', case: / null$/, peer: 'pipe', target: { ratioAtLeast: 0.8 } },
  { bench: 'postgres', case: / buffered$/, peer: 'pgbouncer', target: { ratioAtLeast: 0.6 } },
  { bench: 'http', case: /^(?!.* p99 ).* buffered$/, peer: 'auth_request', target: { ratioAtLeast: 0.8 } },
  { bench: 'cuts', case: /^\d+ expiries p99$/, peer: null, target: { atMost: 50 } },
  { bench: 'cuts', case: /^revoke two gateways p99$/, peer: null, target: { atMost: 100 } },
  { bench: 'cuts', case: /^\d+ idle websockets KiB each$/, peer: null, target: { atMost: 64 } },
];

/** The target of a row; null for a figure that has none. */
export function targetOf(bench: string, what: string, peer: Peer | null): Target | null {
  return TARGETS.find((one) => one.bench === bench && one.case.test(what) && one.peer === peer)?.target ?? null;
}

/** Whether the target is met; a ratio that could not be had does not meet one. */
export function isMet(target: Target, ours: number, ratio: number | null): boolean {
  return 'atMost' in target ? ours <= target.atMost : ratio !== null && ratio >= target.ratioAtLeast;
}
