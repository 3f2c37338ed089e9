import type { Peer } from './report.js';

/** What a figure has to reach: a ratio to a peer, or a time or size of our own. */
export type Target = { readonly ratioAtLeast: number } | { readonly ratioAtMost: number } | { readonly atMost: number };

interface TargetOf {
  readonly bench: string;
  readonly case: RegExp;
  readonly peer: Peer | null;
  readonly target: Target;
}

/** The targets the project has set itself; the others are figures to know. Milliseconds, KiB. */
const TARGETS: readonly TargetOf[] = [
  { bench: 'postgres', case: /^(?:simple|prepared) null$/, peer: 'pipe', target: { ratioAtLeast: 0.9 } },
  { bench: 'postgres', case: /^(?:simple|prepared) buffered$/, peer: 'pgbouncer', target: { ratioAtLeast: 0.8 } },
  { bench: 'postgres', case: /B (?:result|copy out|copy in) buffered$/, peer: 'direct', target: { ratioAtLeast: 0.8 } },
  { bench: 'postgres', case: /^\d+ idle sessions KiB each$/, peer: null, target: { atMost: 64 } },
  { bench: 'http', case: /^get buffered$/, peer: 'auth_request', target: { ratioAtLeast: 1 } },
  { bench: 'http', case: /^(?!.* p99 ).* buffered$/, peer: 'auth_request', target: { ratioAtLeast: 0.8 } },
  { bench: 'http', case: /^get buffered$/, peer: 'http-proxy', target: { ratioAtLeast: 2 } },
  { bench: 'http', case: /^get p99 ms buffered$/, peer: 'auth_request', target: { ratioAtMost: 1 } },
  { bench: 'http', case: /^get p99 ms buffered$/, peer: 'http-proxy', target: { ratioAtMost: 1 } },
  {
    bench: 'http',
    case: /^(?:get 64 KiB|get 100 MB|put 100 MB) buffered$/,
    peer: 'proxy_pass',
    target: { ratioAtLeast: 0.8 },
  },
  { bench: 'http', case: /^websocket echo buffered$/, peer: 'ws relay', target: { ratioAtLeast: 0.8 } },
  { bench: 'cuts', case: /^\d+ expiries p99$/, peer: null, target: { atMost: 50 } },
  { bench: 'cuts', case: /^revoke two gateways p99$/, peer: null, target: { atMost: 100 } },
  { bench: 'cuts', case: /^\d+ idle websockets KiB each$/, peer: null, target: { atMost: 64 } },
  { bench: 'alerts', case: /^(?:denials|ddl|first_write|direct_issue) p99$/, peer: null, target: { atMost: 1_000 } },
];

/** The targets of a row, the hardest first; none for a figure to know. */
export function targetsOf(bench: string, what: string, peer: Peer | null): readonly Target[] {
  const ours = TARGETS.filter((one) => one.bench === bench && one.case.test(what) && one.peer === peer);
  return ours.map(({ target }) => target);
}

/** What a target says, and which side of it is good. */
export function boundOf(target: Target): { readonly bound: number; readonly sign: '<=' | '>=' } {
  if ('ratioAtLeast' in target) return { bound: target.ratioAtLeast, sign: '>=' };
  return { bound: 'atMost' in target ? target.atMost : target.ratioAtMost, sign: '<=' };
}

/** Whether the target is met; a ratio that could not be had does not meet one. */
export function isMet(target: Target, ours: number, ratio: number | null): boolean {
  if ('atMost' in target) return ours <= target.atMost;
  if (ratio === null) return false;
  return 'ratioAtLeast' in target ? ratio >= target.ratioAtLeast : ratio <= target.ratioAtMost;
}
