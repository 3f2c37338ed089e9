/** What the live index knows of a grant. */
export interface StoredGrant {
  readonly token: string | null;
  /** A tombstone stands over this id. */
  readonly revoked: boolean;
  /** The store's own clock, milliseconds since the epoch: a gateway that differs by more than 2 s refuses to admit. */
  readonly now: number;
}

/** The codes of a store that cannot be asked now, or is not fit to be: an outage, and nobody's doing who asks. */
export const STORE_OUTAGES = [
  'store_unavailable',
  'store_not_primary',
  'store_evicts',
  'store_too_old',
  'store_cluster',
  'store_loading',
] as const;

/**
 * The live index of grants that every gateway shares (Redis), or one process's own. One contract suite runs over both.
 * Every method rejects with a `DaypassError` when the store cannot answer in time (`store_unavailable`) or is not fit to
 * be asked (the rest of `STORE_OUTAGES`).
 */
export interface GrantStore {
  /**
   * Writes a grant that disappears by itself at `expiresAt`.
   * @param expiresAt - milliseconds since the epoch
   * @returns `revoked` when a tombstone stands over the id, `past` when `expiresAt` is not after the store's clock
   */
  put(id: string, token: string, expiresAt: number): Promise<'stored' | 'revoked' | 'past'>;
  get(id: string): Promise<StoredGrant>;
  /** Removes the grant, leaves a tombstone at least until `until` (it only grows) and tells every gateway. */
  revoke(id: string, until: number): Promise<void>;
  /** Tells every gateway that this grant changed. Carries no authority. */
  announce(id: string): Promise<void>;
  /**
   * Hears of every change from now on, until the returned function is called. An interrupted feed comes back by itself;
   * what changed meanwhile was missed, so `state` says when it was lost and when it is heard again.
   */
  subscribe(heard: (id: string) => void, state?: FeedState): Promise<() => Promise<void>>;
  /** Resolves when the store answers, to its own clock (milliseconds since the epoch). */
  ping(): Promise<number>;
  close(): Promise<void>;
}

/** Called when the feed is interrupted, and when it is heard again. */
export interface FeedState {
  lost(): void;
  resumed(): void;
}
