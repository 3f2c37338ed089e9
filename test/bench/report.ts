import { cpus, release, totalmem } from 'node:os';
import { boundOf, isMet, type Target, targetsOf } from './targets.js';

/** What Daypass is compared with. */
export type Peer = 'direct' | 'proxy_pass' | 'auth_request' | 'http-proxy' | 'ws relay' | 'pgbouncer' | 'pipe';

/** One comparison. Rates are per second and better when higher; times are milliseconds and better when lower. */
export interface Row {
  readonly bench: string;
  /** The work and the mode: `get buffered`. */
  readonly case: string;
  /** null for a figure of our own. */
  readonly peer: Peer | null;
  readonly ours: number;
  readonly theirs: number | null;
  /** ours / theirs. */
  readonly ratio: number | null;
  /** Where there are some, the hardest: the least or the most ratio, or the most that `ours` may be. */
  readonly target?: number;
  readonly met?: boolean;
}

/** Where results go: lines of JSON as they come, or a table at the end. */
export class Report {
  readonly #lines: string[][] = [];
  readonly #notes: string[] = [];
  readonly #json: boolean;
  #complete = true;

  constructor(json: boolean) {
    this.#json = json;
  }

  /** false when something could not be measured. */
  get complete(): boolean {
    return this.#complete;
  }

  /** A comparison with a peer. */
  add(bench: string, what: string, peer: Peer, ours: number, theirs: number): void {
    this.#row(bench, what, peer, ours, theirs);
  }

  /** A figure of our own, with nothing beside it. */
  figure(bench: string, what: string, ours: number): void {
    this.#row(bench, what, null, ours, null);
  }

  #row(bench: string, what: string, peer: Peer | null, ours: number, theirs: number | null): void {
    const exact = theirs === null || theirs === 0 ? null : ours / theirs;
    const ratio = exact === null ? null : round(exact);
    const targets = targetsOf(bench, what, peer);
    const [hardest] = targets;
    const against = hardest === undefined ? {} : { target: boundOf(hardest).bound, met: isMet(hardest, ours, exact) };
    const figures = { ours: round(ours), theirs: theirs === null ? null : round(theirs), ratio };
    const row: Row = { bench, case: what, peer, ...figures, ...against };
    this.#lines.push([...cellsOf(row), targets.map((target) => aim(target, ours, exact)).join(', ')]);
    if (this.#json) process.stdout.write(`${JSON.stringify(row)}\n`);
  }

  /** Something to be said beside the table. */
  note(text: string): void {
    this.#notes.push(text);
    process.stderr.write(`bench: ${text}\n`);
  }

  /** Something is not there, so that not everything can be measured: said, and the bench fails at its end. */
  lacks(what: string): void {
    this.#complete = false;
    this.note(what);
  }

  /** Says on standard error what is being done. */
  progress(text: string): void {
    process.stderr.write(`bench: ${text}\n`);
  }

  /** Prints the table, with the machine it was measured on. */
  finish(): void {
    if (this.#json) return;
    const table = [HEADINGS, ...this.#lines];
    const widths = HEADINGS.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
    for (const line of table) {
      const cells = line.map((cell, i) =>
        NUMBERS.has(HEADINGS[i] ?? '') ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
      );
      process.stdout.write(`${cells.join('  ').trimEnd()}\n`);
    }
    for (const note of this.#notes) process.stdout.write(`\n${note}`);
    process.stdout.write(`\n\n${machine()}\n`);
  }
}

const HEADINGS = ['bench', 'case', 'peer', 'ours', 'theirs', 'ratio', 'target'];
const NUMBERS = new Set(['ours', 'theirs', 'ratio']);

function cellsOf({ bench, case: what, peer, ours, theirs, ratio }: Row): string[] {
  return [bench, what, peer ?? '-', show(ours), show(theirs), show(ratio)];
}

function aim(target: Target, ours: number, ratio: number | null): string {
  const { bound, sign } = boundOf(target);
  return `${sign} ${bound} ${isMet(target, ours, ratio) ? 'met' : 'missed'}`;
}

/** The middle one; for an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Linear between the two nearest. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = ((sorted.length - 1) * p) / 100;
  const below = sorted[Math.floor(at)] ?? 0;
  const above = sorted[Math.ceil(at)] ?? 0;
  return below + (above - below) * (at - Math.floor(at));
}

function machine(): string {
  const processors = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${processors.length} × ${processors[0]?.model.trim() ?? 'processor'}, ${memory} GiB, Linux ${release()}, Node ${process.version}; everything on this one machine, over loopback`;
}

function round(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Math.round(value * 1000) / 1000;
}

function show(value: number | null): string {
  return value === null ? '-' : String(value);
}
