import fc from 'fast-check';
import t from 'tap';
import { after, isOpenState, type Move, STORED_STATES, type StoredState } from '../../src/access/state.js';

const MOVES: readonly Move[] = ['agree', 'refuse', 'withdraw', 'lapse', 'reopen', 'activate', 'return', 'revoke'];

t.test('nothing leads out of a state that is over', async (t) => {
  for (const state of STORED_STATES.filter((one) => !isOpenState(one)))
    for (const move of MOVES) t.equal(after(state, move), null, `${state} ${move}`);
});

t.test('no path leads from pending to activated but over approved', async (t) => {
  const path = fc.array(fc.constantFrom(...MOVES), { maxLength: 12 });
  fc.assert(
    fc.property(path, (moves) => {
      const walked: StoredState[] = ['pending'];
      for (const move of moves) {
        const next = after(walked.at(-1) ?? 'pending', move);
        if (next !== null) walked.push(next);
      }
      const at = walked.indexOf('activated');
      return at === -1 || walked[at - 1] === 'approved';
    }),
  );
  t.pass();
});
