import type { Block } from './block.js';
import type { Receipt, SessionLog, TakenPart } from './log.js';
import type { Stretch } from './stretch.js';
import type { Batch, RowWrite } from './writer.js';

/** What is written of logs in one batch. */

/** What a log has to write, as it was when the batch began: what comes while it is packed is of the next. */
export interface Due {
  readonly log: SessionLog;
  /** Null when its row alone is to be written. */
  readonly taken: TakenPart | null;
  /** Its row is to be written, with this receipt. */
  readonly rowDue: boolean;
  readonly receipt: Receipt | null;
}

/** The same, packed. */
export interface Taken {
  readonly log: SessionLog;
  readonly stretch: Stretch | null;
  readonly block: Block | null;
  readonly row: RowWrite | null;
}

/** Takes what a log has to write. */
export function dueOf(log: SessionLog): Due {
  const taken = log.take();
  // Its end is said with the last of its events.
  const receipt = log.hasEvents ? null : log.receipt;
  const rowDue = !log.rowWritten;
  log.rowWritten = receipt === log.receipt;
  return { log, taken, rowDue, receipt };
}

/** The row that is due with a block; null when none is. */
export function rowOf({ log, rowDue, receipt }: Due, block: Block | null): RowWrite | null {
  if (!rowDue) return null;
  return {
    row: log.row,
    receipt,
    lastSeq: block?.lastSeq ?? log.committedSeq,
    lastHash: block?.hashAfter ?? log.hash,
  };
}

/** How many events, and actions among them. */
export function counted(taken: readonly Taken[]): { events: number; actions: number } {
  let events = 0;
  let actions = 0;
  for (const { stretch } of taken) {
    events += stretch?.counts.events ?? 0;
    actions += stretch?.counts.actions ?? 0;
  }
  return { events, actions };
}

export function batchOf(taken: readonly Taken[]): Batch {
  return {
    rows: taken.flatMap((one) => one.row ?? []),
    blocks: taken.flatMap((one) => one.block ?? []),
  };
}
