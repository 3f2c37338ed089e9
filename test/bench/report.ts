import { cpus, release, totalmem } from 'node:os';

/** One comparison. Rates are per second and better when higher; times are milliseconds and better when lower. */
export interface Row {
  readonly bench: string;
  /** The work and the mode: `get buffered`. */
  readonly case: string;
  readonly peer: string;
  readonly ours: number;
  readonly theirs: number | null;
  /** ours / theirs; for a case without a peer, ours / target. */
  readonly ratio: number | null;
}

/** Where results go: lines of JSON as they come, or a table at the end. */
export class Report {
  readonly #rows: Row[] = [];
  readonly #notes: string[] = [];
  readonly #json: boolean;

  constructor(json: boolean) {
    this.#json = json;
  }

  /** A comparison with a peer. */
  add(bench: string, what: string, peer: string, ours: number, theirs: number | null): void {
    const ratio = theirs === null || theirs === 0 ? null : round(ours / theirs);
    const row = { bench, case: what, peer, ours: round(ours), theirs: theirs === null ? null : round(theirs), ratio };
    this.#rows.push(row);
    if (this.#json) process.stdout.write(`${JSON.stringify(row)}\n`);
  }

  /** Something to be said beside the table. */
  note(text: string): void {
    this.#notes.push(text);
    process.stderr.write(`bench: ${text}\n`);
  }

  /** Says on standard error what is being done. */
  progress(text: string): void {
    process.stderr.write(`bench: ${text}\n`);
  }

  /** Prints the table, with the machine it was measured on. */
  finish(): void {
    if (this.#json) return;
    const lines = this.#rows.map((row) => [
      row.bench,
      row.case,
      row.peer,
      show(row.ours),
      show(row.theirs),
      show(row.ratio),
    ]);
    const table = [['bench', 'case', 'peer', 'ours', 'theirs', 'ratio'], ...lines];
    const widths = [0, 1, 2, 3, 4, 5].map((column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
    for (const line of table) {
      const cells = line.map((cell, i) => (i < 3 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)));
      process.stdout.write(`${cells.join('  ')}\n`);
    }
    for (const note of this.#notes) process.stdout.write(`\n${note}`);
    process.stdout.write(`\n\n${machine()}\n`);
  }
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
