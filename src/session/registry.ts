import type { Session } from './session.js';

/** A note that an admission is asking about a grant: what changes meanwhile is not missed (subscribe, then check, then arm). */
export interface Watch {
  /** Something was heard about the grant since the watch began or was last reset. */
  touched: boolean;
}

/** The live sessions of this gateway, by grant. */
export class Registry {
  readonly #byGrant = new Map<string, Set<Session>>();
  readonly #byId = new Map<string, Session>();
  readonly #watches = new Map<string, Set<Watch>>();

  add(session: Session): void {
    this.#byId.set(session.id, session);
    const sessions = this.#byGrant.get(session.grant.id);
    if (sessions === undefined) this.#byGrant.set(session.grant.id, new Set([session]));
    else sessions.add(session);
  }

  remove(session: Session): void {
    this.#byId.delete(session.id);
    const sessions = this.#byGrant.get(session.grant.id);
    sessions?.delete(session);
    if (sessions?.size === 0) this.#byGrant.delete(session.grant.id);
  }

  get(id: string): Session | undefined {
    return this.#byId.get(id);
  }

  all(): Session[] {
    return [...this.#byId.values()];
  }

  ofGrant(id: string): readonly Session[] {
    return [...(this.#byGrant.get(id) ?? [])];
  }

  /** The grants that sessions or admissions under way hold. */
  heldIds(): string[] {
    return [...new Set([...this.#byGrant.keys(), ...this.#watches.keys()])];
  }

  watch(grantId: string): Watch {
    const watch: Watch = { touched: false };
    const watches = this.#watches.get(grantId);
    if (watches === undefined) this.#watches.set(grantId, new Set([watch]));
    else watches.add(watch);
    return watch;
  }

  unwatch(grantId: string, watch: Watch): void {
    const watches = this.#watches.get(grantId);
    watches?.delete(watch);
    if (watches?.size === 0) this.#watches.delete(grantId);
  }

  /** Something was heard about a grant. */
  touch(grantId: string): void {
    for (const watch of this.#watches.get(grantId) ?? []) watch.touched = true;
  }
}
