import { iso } from '../clock.js';
import { messageOf } from '../errors.js';
import { unpackBlock } from './block.js';
import type { StoredBlock } from './blocks.js';
import { decodeEvent, type EncodedEvent, genesis, link, payloadMatches } from './chain.js';
import type { Facts, RecordedEvent } from './event.js';
import { IndexCheck, type IndexedStretch } from './index-check.js';
import { timeOfUuid7 } from './uuid7.js';

/** What can be wrong with a recording. */
export type Fault =
  | 'missing' // events are not there (deleted)
  | 'truncated' // the end is not there
  | 'duplicate' // a sequence number stands twice
  | 'not_continued' // a block does not continue what stands before it (swapped, reordered, inserted, taken from another session)
  | 'changed' // a block's events do not give the chain value it claims (edited)
  | 'payload_changed' // an event's payload is not the one its header names (edited)
  | 'misnumbered' // a block's events are not the ones its row names
  | 'times_changed' // a block's row claims other times than its events
  | 'unreadable'
  | 'row_changed' // the session's row says something else than its record
  | 'index_changed' // the index counts something else than the record has; `daypass index rebuild` makes it anew
  | 'not_opened' // the record does not begin with `open`
  | 'no_row'; // blocks without a session

/** One thing that is wrong, and where. */
export interface Finding {
  readonly session: string;
  /** The first event concerned. */
  readonly seq: number;
  readonly fault: Fault;
  readonly message: string;
}

/** What the session's row claims; checked against the record. */
export interface ClaimedSession {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** What its first event has to say. */
  readonly opening: Facts;
  /** What its last event has to say; null: it goes on. */
  readonly closing: Facts | null;
  readonly lastSeq: number | null;
  readonly lastHash: Buffer | null;
}

/** Where a chain ends: what a close-out names of each session. */
export interface ChainEnd {
  readonly seq: number;
  readonly head: string;
}

/** So many findings name what is wrong with one session; more would only repeat it. */
const MOST_FINDINGS = 100;

/**
 * Follows one session's chain, block by block in the order of `first_seq`. Pure: it is fed what was read.
 * After a fault it goes on from what the block claims, so that one edit is named once.
 */
export class ChainCheck {
  readonly findings: Finding[] = [];
  readonly #session: string;
  readonly #claimed: ClaimedSession | null;
  readonly #index: IndexCheck;
  #hash: Buffer;
  #seq = 0;
  #events = 0;
  /** The facts of its last event, if that closed it. */
  #closing: Facts | null = null;

  /** @param indexed - what the index says of it, in order */
  constructor(session: string, claimed: ClaimedSession | null, indexed: readonly IndexedStretch[] = []) {
    this.#session = session;
    this.#index = new IndexCheck(session, indexed);
    this.#claimed = claimed;
    this.#hash = genesis(session);
    if (claimed === null) this.#find(1, 'no_row', 'there are blocks, and no session they belong to');
  }

  /** How many events were read. */
  get events(): number {
    return this.#events;
  }

  /** Whether its last event closed it. */
  get isClosed(): boolean {
    return this.#closing !== null;
  }

  /** How far the chain goes: its last event, and the value behind it (hex). */
  get last(): ChainEnd {
    return { seq: this.#seq, head: this.#hash.toString('hex') };
  }

  block(block: StoredBlock): void {
    this.#place(block);
    const events = this.#unpack(block);
    if (events !== null) {
      this.#contents(block, events);
      this.#events += events.length;
    }
    this.#hash = block.hashAfter;
    this.#seq = Math.max(this.#seq, block.lastSeq);
  }

  /** After the last block. */
  end(): readonly Finding[] {
    const claimed = this.#claimed;
    if (this.#seq === 0) this.#find(1, 'missing', 'there is no record at all');
    else if (claimed !== null && claimed.closing !== null) this.#end(claimed, claimed.closing);
    else if (claimed !== null && this.#closing !== null)
      this.#find(
        this.#seq,
        'row_changed',
        `the record ends as ${said(this.#closing.reason)}; its row says that it goes on`,
      );
    const wrong = this.findings.length === 0 ? this.#index.end(this.#seq) : null;
    if (wrong !== null)
      this.#find(
        wrong.first,
        'index_changed',
        `the row of the index that begins with event ${wrong.first} ${wrong.why}`,
      );
    return this.findings;
  }

  #end(claimed: ClaimedSession, closing: Facts): void {
    if (claimed.lastSeq === null || claimed.lastHash === null) {
      this.#find(this.#seq, 'row_changed', 'the session has ended and its row does not say with which event');
    } else if (this.#seq < claimed.lastSeq) {
      this.#find(
        this.#seq + 1,
        'truncated',
        `the record ends with event ${this.#seq}; its row says ${claimed.lastSeq}`,
      );
    } else if (this.#seq > claimed.lastSeq || !claimed.lastHash.equals(this.#hash)) {
      this.#find(this.#seq, 'row_changed', 'the end of the chain is not the one the session row names');
    } else if (this.#closing === null) {
      this.#find(this.#seq, 'row_changed', `the record is not closed; its row says ${said(closing.reason)}`);
    } else this.#compare(this.#seq, closing, this.#closing);
  }

  /** Whether the block stands where the one before it ended. */
  #place({ firstSeq, lastSeq, hashBefore }: StoredBlock): void {
    const due = this.#seq + 1;
    if (firstSeq > due) {
      this.#find(
        due,
        'missing',
        `events ${due} to ${firstSeq - 1} are missing before the block of ${firstSeq} to ${lastSeq}`,
      );
    } else if (firstSeq < due) {
      this.#find(firstSeq, 'duplicate', `the block of ${firstSeq} to ${lastSeq} repeats events that stand before it`);
    } else if (!hashBefore.equals(this.#hash)) {
      const from = firstSeq === 1 ? "this session's beginning" : `event ${this.#seq}`;
      this.#find(firstSeq, 'not_continued', `the block of ${firstSeq} to ${lastSeq} does not continue ${from}`);
    }
  }

  #unpack(block: StoredBlock): EncodedEvent[] | null {
    try {
      return unpackBlock(block.payload, block.format);
    } catch (thrown) {
      this.#find(
        block.firstSeq,
        'unreadable',
        `the block of ${block.firstSeq} to ${block.lastSeq} cannot be read: ${messageOf(thrown)}`,
      );
      return null;
    }
  }

  #contents(block: StoredBlock, encoded: readonly EncodedEvent[]): void {
    const range = `the block of ${block.firstSeq} to ${block.lastSeq}`;
    const hash = encoded.reduce((before, { header }) => link(before, header), block.hashBefore);
    if (!hash.equals(block.hashAfter)) {
      this.#find(
        block.firstSeq,
        'changed',
        `${range} is not what was recorded: its events do not give its chain value`,
      );
    }
    const events: RecordedEvent[] = [];
    try {
      for (const one of encoded) {
        events.push(decodeEvent(one));
        if (!payloadMatches(one)) {
          const seq = events[events.length - 1]?.seq ?? block.firstSeq;
          this.#find(seq, 'payload_changed', `the payload of event ${seq} is not the one that was recorded`);
        }
      }
    } catch (thrown) {
      this.#find(block.firstSeq, 'unreadable', `${range} cannot be read: ${messageOf(thrown)}`);
      return;
    }
    this.#numbers(block, events, range);
    for (const event of events) this.#meaning(event);
  }

  #numbers(block: StoredBlock, events: readonly RecordedEvent[], range: string): void {
    const first = events[0];
    const last = events[events.length - 1];
    if (!events.every((event, place) => event.seq === block.firstSeq + place) || last?.seq !== block.lastSeq) {
      this.#find(block.firstSeq, 'misnumbered', `${range} holds events ${first?.seq} to ${last?.seq}`);
    } else if (first?.at !== block.fromAt || last.at !== block.toAt) {
      this.#find(block.firstSeq, 'times_changed', `${range} claims other times than its events`);
    }
  }

  #meaning(event: RecordedEvent): void {
    const { seq, kind, facts } = event;
    this.#index.event(event);
    this.#closing = kind === 'close' ? facts : null;
    if (seq !== 1) return;
    if (kind !== 'open') this.#find(1, 'not_opened', `the record begins with ${JSON.stringify(kind)}`);
    else if (this.#claimed !== null) this.#opening(facts, this.#claimed);
  }

  /** The time is the session's id's, from which the chain begins. */
  #opening(facts: Facts, { opening, startedAt }: ClaimedSession): void {
    this.#compare(1, opening, facts);
    const began = timeOfUuid7(this.#session);
    if (began !== startedAt)
      this.#find(1, 'row_changed', `its row says ${said(iso(startedAt))}; it began at ${said(iso(began))}`);
  }

  /** Whether the session's row says what was recorded. Older records do not say everything. */
  #compare(seq: number, claimed: Facts, recorded: Facts): void {
    for (const fact in claimed) {
      const [value, was] = [claimed[fact], recorded[fact]];
      if (was === undefined || value === was) continue;
      this.#find(seq, 'row_changed', `the row's ${fact} is ${said(value)}; recorded was ${said(was)}`);
    }
  }

  #find(seq: number, fault: Fault, message: string): void {
    if (this.findings.length < MOST_FINDINGS) this.findings.push({ session: this.#session, seq, fault, message });
  }
}

function said(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}
