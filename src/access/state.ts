/** Where a request stands in the ledger. Over are all but the first three. */
export type StoredState =
  | 'pending'
  | 'approved'
  | 'activated'
  | 'refused'
  | 'withdrawn'
  | 'lapsed'
  | 'returned'
  | 'revoked';

/** Where it stands now: time ends some without an act. */
export type RequestState = StoredState | 'expired';

/** What moves a request. `reopen`: another approval is needed after all. */
export type Move = 'agree' | 'refuse' | 'withdraw' | 'lapse' | 'reopen' | 'activate' | 'return' | 'revoke';

/** The whole machine. What is not in it does not happen; nothing leads out of a state that is over. */
const MOVES: Readonly<Record<StoredState, Partial<Readonly<Record<Move, StoredState>>>>> = {
  pending: { agree: 'approved', refuse: 'refused', withdraw: 'withdrawn', lapse: 'lapsed', revoke: 'revoked' },
  approved: { reopen: 'pending', withdraw: 'withdrawn', activate: 'activated', revoke: 'revoked' },
  activated: { activate: 'activated', return: 'returned', revoke: 'revoked' },
  refused: {},
  withdrawn: {},
  lapsed: {},
  returned: {},
  revoked: {},
};

/** The state after a move; null where the move is not possible. */
export function after(state: StoredState, move: Move): StoredState | null {
  return MOVES[state][move] ?? null;
}

// Of an object that is written out here the keys are these; `Object.keys` is typed for any.
export const STORED_STATES = Object.keys(MOVES) as readonly StoredState[];

/** Whether a request in this state may still lead to something. */
export function isOpenState(state: RequestState): boolean {
  return state === 'pending' || state === 'approved' || state === 'activated';
}
