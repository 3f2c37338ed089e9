import { setTimeout as sleep } from 'node:timers/promises';
import { DaypassError, messageOf } from '../errors.js';
import type { Countdown } from './countdown.js';
import { askRemote, type Place } from './remote.js';

/** A service as the gateway tells it, with what somebody has there. */
export interface ToldService {
  readonly name: string;
  readonly protocol: string;
  readonly lane: string;
  readonly owner: string;
  readonly roles: readonly string[];
  readonly limits: { readonly maxDurationSeconds: number; readonly maxRenewals: number };
  readonly grants: readonly ToldGrant[];
}

export interface ToldGrant {
  readonly grant: string;
  readonly role: string;
  readonly notBefore: string;
  readonly expiresAt: string;
  /** Its weekly hours; null for none. */
  readonly window: string | null;
  /** When it may be used no longer, and why: its end, or that of its hours. */
  readonly until: string;
  readonly ends: 'expired' | 'hours_over';
  /** Why its hours keep it from being used now; null when they do not. */
  readonly outside: string | null;
  /** To `until`. */
  readonly secondsLeft: number;
  readonly begun: boolean;
  readonly suspended: boolean;
  /** The rules of the role that it is for; null: all of them. */
  readonly only: readonly string[] | null;
}

/** Access to one service, as the gateway said last. */
export interface Held {
  readonly protocol: string;
  readonly grant: ToldGrant;
}

/** Whose access, to what, where. */
export interface AccessOf extends Place {
  readonly token: string;
  readonly service: string;
  /** The one that ends last unless told. */
  readonly grant: string | undefined;
}

/** The grant that is used: of those that have begun, the one that may be used longest from now on. */
export function grantInUse(grants: readonly ToldGrant[], id?: string): ToldGrant | undefined {
  const usable = grants.filter(({ grant, begun, outside }) => begun && outside === null && grant === (id ?? grant));
  return usable.sort(
    (one, other) => Number(one.suspended) - Number(other.suspended) || other.secondsLeft - one.secondsLeft,
  )[0];
}

/** @throws DaypassError `no_access`, `outside_hours`, and as `askRemote` */
export async function askHeld({ token, service, grant, ...place }: AccessOf): Promise<Held> {
  const { services } = await askRemote<{ services: readonly ToldService[] }>(place, 'GET', '/api/v1/services', {
    token,
  });
  const told = services.find(({ name }) => name === service);
  if (told === undefined)
    throw new DaypassError('unknown_service', `There is no service ${service} at ${place.gateway}.`, {
      hint: 'daypass services',
    });
  const held = grantInUse(told.grants, grant);
  if (held !== undefined) return { protocol: told.protocol, grant: held };
  const closed = told.grants.find(({ grant: id, begun, outside }) => begun && outside !== null && id === (grant ?? id));
  if (closed !== undefined)
    throw new DaypassError('outside_hours', closed.outside ?? '', { hint: `daypass connect ${service} works then.` });
  throw new DaypassError('no_access', `You have no access to ${service} now.`, {
    hint: `daypass services tells what you have; daypass request --service ${service} asks for it.`,
  });
}

interface EndedGrant {
  readonly state: string;
  readonly acts: readonly { readonly act: string; readonly by: string; readonly reason: string }[];
}

/** Why a grant is no longer there, in words; those of a revocation are its author's. Null when it is. */
async function whyOver({ token, ...place }: AccessOf, grant: string): Promise<string | null> {
  const path = `/api/v1/grants/${encodeURIComponent(grant)}`;
  const { state, acts } = await askRemote<EndedGrant>(place, 'GET', path, { token });
  const last = acts.findLast(({ act }) => act === 'revoke');
  if (state === 'revoked' && last !== undefined) return `it was revoked by ${last.by}: ${last.reason}`;
  if (state === 'active') return null;
  return state === 'expired' ? 'its time is over' : `it is ${state}`;
}

/** How often the gateway is asked, milliseconds. */
const EVERY = 15_000;
const TICK = 500;

export interface WatchEvents {
  /** Called twice a second. */
  tick(): void;
  told(held: Held): void;
  /** The gateway could not be asked; the countdown goes on. */
  unreachable(): void;
  over(why: string): void;
  loginOver(fault: DaypassError): void;
}

/** Asks how access stands, again and again, until it is over or `stop`. */
export class AccessWatch {
  readonly #of: AccessOf;
  readonly #countdown: Countdown;
  readonly #events: WatchEvents;
  #grant: string;
  #askAt = 0;
  #stopped = false;

  constructor(of: AccessOf, first: Held, countdown: Countdown, events: WatchEvents) {
    this.#of = of;
    this.#countdown = countdown;
    this.#events = events;
    this.#grant = first.grant.grant;
    this.#askAt = performance.now() + EVERY;
    void this.#run();
  }

  /** Something has changed: the gateway is asked at once. */
  askSoon(): void {
    this.#askAt = 0;
  }

  stop(): void {
    this.#stopped = true;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#events.tick();
      const due = performance.now() >= this.#askAt || this.#countdown.isDoubtful || this.#countdown.left === 0;
      if (due) await this.#ask();
      await sleep(TICK);
    }
  }

  async #ask(): Promise<void> {
    try {
      const held = await askHeld(this.#of);
      this.#askAt = performance.now() + EVERY;
      this.#grant = held.grant.grant;
      this.#countdown.set(held.grant.secondsLeft);
      if (!this.#stopped) this.#events.told(held);
    } catch (thrown) {
      if (!this.#stopped) await this.#failed(thrown);
    }
  }

  async #failed(thrown: unknown): Promise<void> {
    const code = thrown instanceof DaypassError ? thrown.code : 'failed';
    this.#askAt = performance.now() + EVERY / 5;
    if (thrown instanceof DaypassError && code === 'not_logged_in') return this.#events.loginOver(thrown);
    if (code === 'no_access' || code === 'outside_hours' || code === 'unknown_service') {
      const why = await whyOver(this.#of, this.#grant).catch(() => 'the gateway knows of none any more');
      return this.#events.over(why ?? (code === 'outside_hours' ? messageOf(thrown) : 'it cannot be used any more'));
    }
    // By its own last word, counted on.
    if (this.#countdown.left === 0) return this.#events.over('its time is over, and the gateway cannot be asked');
    this.#events.unreachable();
  }
}
