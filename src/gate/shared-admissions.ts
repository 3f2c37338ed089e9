import type { Session } from '../session/session.js';
import type { Admission } from './admission.js';
import type { Presented } from './credential.js';
import type { Admitted } from './gate.js';

/** A shared session without anything under way ends after this long, milliseconds. */
const IDLE_AFTER = 300_000;

/**
 * The admissions that all connections of one holder to one service share (HTTP). No connection's end is theirs: they end when
 * nothing has been under way for a while.
 */
export class SharedAdmissions {
  readonly #live = new Map<string, Admission>();
  readonly #opening = new Map<string, Promise<Admitted>>();
  readonly #idleSince = new Map<Session, number>();

  /** @param holder - the browser session; empty for whoever holds the handle */
  find(grantId: string, service: string, holder: string): Admission | undefined {
    return this.#live.get(keyOf(grantId, service, holder));
  }

  add(admission: Admission): void {
    this.#live.set(keyOfSession(admission.session), admission);
  }

  /** The session has ended, whether or not it was shared. */
  remove(session: Session): void {
    this.#idleSince.delete(session);
    const key = keyOfSession(session);
    if (this.#live.get(key)?.session === session) this.#live.delete(key);
  }

  /** Has `open` answer once for everybody who asks with this credential meanwhile. */
  openOnce(presented: Presented, service: string, open: () => Promise<Admitted>): Promise<Admitted> {
    // Keyed by the secret too: whoever waits for an admission under way has presented the very same handle.
    const key = `${keyOf(presented.id, service, presented.holder)} ${presented.key}`;
    const under = this.#opening.get(key);
    if (under !== undefined) return under;
    const opening = open().finally(() => this.#opening.delete(key));
    this.#opening.set(key, opening);
    return opening;
  }

  /** @param now - monotonic milliseconds */
  endIdle(now: number): void {
    for (const { session } of this.#live.values()) {
      if (!session.isAlone) this.#idleSince.delete(session);
      else if (!this.#idleSince.has(session)) this.#idleSince.set(session, now);
      else if (now - this.#idleSince.get(session)! >= IDLE_AFTER) session.finish('idle');
    }
  }
}

function keyOf(grantId: string, service: string, holder: string): string {
  return `${grantId} ${service} ${holder}`;
}

function keyOfSession({ grant, policy, holder }: Session): string {
  return keyOf(grant.id, policy.name, holder);
}
