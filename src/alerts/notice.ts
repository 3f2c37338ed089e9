import type { Outbox } from './outbox.js';

/** Takes notices, to be sent later: in the act's own transaction, so that there is none without the other. */
export type Notices = Pick<Outbox, 'enqueue'>;
