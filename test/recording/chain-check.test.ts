import { constants, deflateRawSync } from 'node:zlib';
import t from 'tap';
import { packBlock, unpackBlock } from '../../src/recording/block.js';
import { genesis } from '../../src/recording/chain.js';
import type { EventKind, RecordedEvent } from '../../src/recording/event.js';
import { closingFacts, openingFacts } from '../../src/recording/row-facts.js';
import { uuid7 } from '../../src/recording/uuid7.js';
import { ChainCheck, type ClaimedSession } from '../../src/recording/verify.js';
import { sessionRow } from './fixture.js';

const at = Date.now();
const row = sessionRow({ id: uuid7(at), startedAt: at });
const opening = openingFacts(row, 'here');
const closing = closingFacts({ endedAt: at, reason: 'idle', dueAt: null, cutAt: null, bytesAfterDue: 0 });
const event = (seq: number, kind: EventKind, facts: RecordedEvent['facts']) => ({
  seq,
  at,
  kind,
  facts,
  payload: null,
});

/** What is wrong with a record of one block, whose chain holds, under what its row claims. */
function faults(events: readonly RecordedEvent[], over: Partial<ClaimedSession> = {}) {
  const block = packBlock(row.id, genesis(row.id), events);
  const { lastSeq, hashAfter: lastHash } = block;
  const check = new ChainCheck(row.id, { startedAt: at, opening, closing, lastSeq, lastHash, ...over });
  check.block(block);
  return check.end().map(({ seq, fault }) => `${seq} ${fault}`);
}

const whole = [event(1, 'open', opening), event(2, 'close', closing)];

t.test('whoever writes a whole record anew has it begin as one, and end where its row says', async (t) => {
  t.same(faults(whole), []);
  t.same(faults([event(1, 'notice', opening), event(2, 'close', closing)]), ['1 not_opened']);
  t.same(faults(whole, { lastHash: genesis(row.id) }), ['2 row_changed'], 'the right number, and another value');
  t.same(faults(whole, { lastHash: null }), ['2 row_changed']);
  t.same(faults(whole, { lastSeq: 1 }), ['2 row_changed']);
  t.same(faults(whole, { lastSeq: 3 }), ['3 truncated']);
  t.same(faults(whole.slice(0, 1)), ['1 row_changed'], 'it is not closed');
  t.same(faults(whole, { closing: null }), ['2 row_changed'], 'nor does it go on');
});

t.test(
  'a stored block that holds half a pair, is no block of ours, or would fill the memory is not read',
  async (t) => {
    const { payload, format } = packBlock(row.id, genesis(row.id), whole);
    t.equal(unpackBlock(payload, format).length, 2);
    t.throws(() => unpackBlock(payload, 2), RangeError);
    t.throws(() => unpackBlock(deflateRawSync('{"n":1}\n\n{"n":2}'), 1), RangeError);
    const much = deflateRawSync(Buffer.alloc(1024 * 1024), { finishFlush: constants.Z_SYNC_FLUSH });
    const bomb = Buffer.concat(new Array<Buffer>(257).fill(much));
    t.throws(() => unpackBlock(bomb, 1), { code: 'ERR_BUFFER_TOO_LARGE' });
  },
);
