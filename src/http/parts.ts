import type { Clock } from '../clock.js';
import type { Carried } from '../gate/carried.js';
import type { Gate } from '../gate/gate.js';
import type { BrowserAccess } from '../identity/browser-access.js';
import type { Log } from '../log.js';
import type { MessageMemory } from '../session/message-memory.js';
import type { ApiDoor } from './browser/api-side.js';
import type { RequestDesk } from './browser/request-side.js';
import type { Identity } from './identity.js';
import type { Faults } from './refusals/faults.js';
import type { Rates } from './rules/rate.js';
import type { Upstreams } from './service/upstream.js';

/** What requests and WebSockets alike need of the process around them. */
export interface HttpParts {
  readonly gate: Gate;
  readonly log: Log;
  readonly faults: Faults;
  readonly upstreams: Upstreams;
  readonly identity: Identity;
  readonly access: BrowserAccess;
  /** Who answers below `/api` at the gateway's own host. */
  readonly api: ApiDoor | undefined;
  /** What approvers' pages ask; without it there are none. */
  readonly desk: RequestDesk | undefined;
  /** How browsers reach the gateway. */
  readonly scheme: 'http' | 'https';
  /** Of the gateway's own pages, as browsers spell it. */
  readonly origin: () => string;
  readonly clock: Clock;
  /** Services are reached at `<service>.<domain>`. */
  readonly domain: string;
  /** What comes through tunnels, by its stream. */
  readonly carried: WeakMap<object, Carried>;
  readonly monotonic: () => number;
  readonly rates: Rates;
  /** Where clients' large WebSocket messages are held. */
  readonly messages: MessageMemory;
  /** How long one may stand unfinished while nothing more of it comes, milliseconds. */
  readonly messageTimeout: number;
}
