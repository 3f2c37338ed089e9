import type { Clock } from '../clock.js';
import type { Passage } from '../gate/passage.js';
import type { Json } from '../recording/event.js';
import type { CatalogSource } from './catalog/keeper.js';
import type { PostgresAction } from './decide.js';
import { Expectations } from './expectations.js';
import type { Overrun } from './limits.js';
import { Names, type Portal, type Prepared } from './names.js';

/** What the two directions of one connection both need to know. */
export class Conversation {
  readonly passage: Passage<PostgresAction>;
  readonly clock: Clock;
  /** What the upstream's database holds. */
  readonly catalog: CatalogSource;
  readonly expectations = new Expectations();
  readonly statements = new Names<Prepared>();
  readonly portals = new Names<Portal>();
  /** The server waits for COPY data: only CopyData, CopyDone, CopyFail, Flush and Sync are legal. */
  copyIn = false;
  /** Bytes of COPY data from the client since the COPY began, and their first part for the record. */
  copyBytes = 0;
  copySample: Buffer[] = [];
  /** Rows and bytes of the result under way, and since when it runs (monotonic milliseconds). */
  rows = 0;
  bytesOut = 0;
  /** CopyData messages to the client: in text and binary one a row. */
  copiedOut = 0;
  since = 0;
  /** The result under way went over a limit of the role: nothing more of it reaches the client. */
  overrun: Overrun | null = null;
  /** An error took the place of a completed statement: the client hears nothing more until the server is ready again. */
  muted = false;
  /** The first rows of the result under way, and the names of its columns, for the record; and their size, bytes. */
  sampled: (readonly Json[])[] = [];
  sampledColumns: readonly string[] | null = null;
  sampledBytes = 0;
  /** The server ended the session in words of its own (FATAL), and the client has heard them. */
  dismissed = false;
  /** A definition was run that may have changed the catalog once its transaction has ended. */
  redefined = false;

  constructor(passage: Passage<PostgresAction>, catalog: CatalogSource, clock: Clock) {
    this.passage = passage;
    this.catalog = catalog;
    this.clock = clock;
  }

  /** A result begins to be waited for, if none is. */
  sent(): void {
    if (this.since === 0) this.since = this.clock.monotonic();
  }
}
