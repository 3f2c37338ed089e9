import { link } from './chain.js';
import type { AuditFacts, AuditLine } from './entry.js';
import { factsOf } from './facts.js';
import { type Head, START } from './head.js';

/** What can be wrong with the log. */
export type AuditFault =
  | 'missing' // lines are not there (deleted)
  | 'moved' // a line stands under another number than it was written with (swapped, renumbered)
  | 'not_continued' // a line does not continue the one before it (inserted, exchanged)
  | 'changed' // an entry does not give the chain value it claims (edited)
  | 'columns_changed' // what is searched says something else than the entry
  | 'unreadable'
  | 'truncated' // the log ends before a head that was noted
  | 'rewritten' // the log has another line where a head was noted
  | 'no_head' // an export does not end with a signed head
  | 'head_forged'; // a head is not signed by a key of the gateway

/** One thing that is wrong, and where. */
export interface AuditFinding {
  readonly seq: number;
  readonly fault: AuditFault;
  readonly message: string;
}

/** What a verification found. */
export interface AuditVerified {
  readonly entries: number;
  /** Empty when the chain holds. At most a hundred. */
  readonly findings: readonly AuditFinding[];
  readonly last: { readonly seq: number; readonly hash: string };
}

/** More would only repeat what is wrong. */
const MOST_FINDINGS = 100;

/**
 * Follows the chain line by line, in the order of their numbers. Pure: it is fed what was read. After a fault it goes on from
 * what the line claims, so that one edit is named once.
 */
export class AuditCheck {
  readonly #findings: AuditFinding[] = [];
  readonly #noted: readonly Head[];
  #entries = 0;
  #seq = START.seq;
  #hash = START.hash;

  /** @param noted - heads that were signed earlier: the log must still have them */
  constructor(noted: readonly Head[] = []) {
    this.#noted = noted;
    this.#holdTo(START.seq, START.hash);
  }

  line(line: AuditLine, columns?: AuditFacts): void {
    this.#entries += 1;
    this.#place(line);
    this.#contents(line, columns);
    this.#seq = line.seq;
    this.#hash = line.hashAfter;
    this.#holdTo(line.seq, line.hashAfter);
  }

  /** Something that the lines cannot say themselves. */
  find(seq: number, fault: AuditFault, message: string): void {
    if (this.#findings.length < MOST_FINDINGS) this.#findings.push({ seq, fault, message });
  }

  /** Where the lines read so far end. */
  get last(): AuditVerified['last'] {
    return { seq: this.#seq, hash: this.#hash.toString('hex') };
  }

  /** After the last line. */
  end(): AuditVerified {
    for (const { seq } of this.#noted.filter((head) => head.seq > this.#seq))
      this.find(this.#seq + 1, 'truncated', `the log ends with line ${this.#seq}; a head was noted at line ${seq}`);
    return { entries: this.#entries, findings: this.#findings, last: this.last };
  }

  #place({ seq, hashBefore }: AuditLine): void {
    const due = this.#seq + 1;
    if (seq > due) this.find(due, 'missing', `${range(due, seq - 1)} missing`);
    else if (seq < due) this.find(seq, 'moved', `line ${seq} stands behind line ${this.#seq}`);
    else if (!hashBefore.equals(this.#hash))
      this.find(seq, 'not_continued', `line ${seq} does not continue what stands before it`);
  }

  #contents({ seq, entry, hashBefore, hashAfter }: AuditLine, columns: AuditFacts | undefined): void {
    if (!link(hashBefore, entry).equals(hashAfter))
      this.find(seq, 'changed', `line ${seq} is not what was written down: it does not give its chain value`);
    const facts = factsOf(entry);
    if (facts === null) return this.find(seq, 'unreadable', `line ${seq} cannot be read`);
    if (facts.seq !== seq) this.find(seq, 'moved', `line ${seq} was written down as line ${facts.seq}`);
    const told = columns === undefined ? [] : differences(facts, columns);
    if (told.length > 0)
      this.find(seq, 'columns_changed', `line ${seq} is searched by another ${told.join(', ')} than was written down`);
  }

  #holdTo(seq: number, hash: Buffer): void {
    if (this.#noted.some((head) => head.seq === seq && !head.hash.equals(hash)))
      this.find(seq, 'rewritten', `line ${seq} is another one than when a head was noted there`);
  }
}

function differences(facts: AuditFacts, columns: AuditFacts): string[] {
  const searched = ['at', 'actor', 'via', 'act', 'target', 'reason', 'result'] as const;
  return searched.filter((name) => facts[name] !== columns[name]);
}

function range(from: number, to: number): string {
  return from === to ? `line ${from} is` : `lines ${from} to ${to} are`;
}
