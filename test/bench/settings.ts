/** How long and how much, from the command line. */
export interface Settings {
  readonly quick: boolean;
  readonly rounds: number;
  /** Of one measurement. */
  readonly seconds: number;
  readonly resultBytes: number;
  readonly bodyBytes: number;
  readonly leases: number;
  /** WebSockets that say nothing. */
  readonly idle: number;
  /** Idle database sessions. */
  readonly sessions: number;
  /** Processes of the gateway in `http`. */
  readonly workers: number;
  /** Only these ways and works; all where none is named. */
  readonly only: readonly string[];
  /** Where CPU profiles of the gateway go. */
  readonly profile: string | undefined;
}

const FULL = {
  rounds: 3,
  seconds: 4,
  resultBytes: 1e9,
  bodyBytes: 100 * 1024 * 1024,
  leases: 10_000,
  idle: 10_000,
  sessions: 1_000,
};
const QUICK = {
  rounds: 3,
  seconds: 1,
  resultBytes: 1e8,
  bodyBytes: 100 * 1024 * 1024,
  leases: 10_000,
  idle: 1_000,
  sessions: 1_000,
};

export function settingsOf(quick: boolean, given: Partial<Settings>): Settings {
  return { ...(quick ? QUICK : FULL), only: [], profile: undefined, workers: 1, ...given, quick };
}
