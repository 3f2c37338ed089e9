import type { Duplex } from 'node:stream';
import type { Passage } from '../../gate/passage.js';
import type { MessageMemory } from '../../session/message-memory.js';
import type { HttpAction, RequestAction } from '../action.js';
import type { Instants } from '../record/result.js';
import type { Faults } from '../refusals/faults.js';
import type { Upstreams } from '../service/upstream.js';

/** What a relay is made of. */
export interface RelayParts {
  readonly client: Duplex;
  readonly upstream: Duplex;
  readonly passage: Passage<HttpAction>;
  readonly path: string;
  /** The sequence number of the recorded opening. */
  readonly seq: number;
  /** Until the service's 101. */
  readonly at: Omit<Instants, 'done'>;
  readonly opening: RequestAction;
  readonly faults: Faults;
  /** Where connections to services are left. */
  readonly upstreams: Pick<Upstreams, 'left'>;
  /** Where large messages are held. */
  readonly memory: MessageMemory;
  /** How long a message may stand unfinished while nothing more of it comes, milliseconds. */
  readonly messageTimeout: number;
  readonly monotonic: () => number;
}
