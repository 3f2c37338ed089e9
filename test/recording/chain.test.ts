import t from 'tap';
import { bytesOfValue, decodeEvent, encodeEvent, genesis, linked, payloadMatches } from '../../src/recording/chain.js';
import type { Facts, RecordedEvent } from '../../src/recording/event.js';
import { uuid7 } from '../../src/recording/uuid7.js';

const HANDLE = `dp_${'a'.repeat(22)}_${'b'.repeat(43)}`;
const FACTS: Facts = { verb: 'select', on: ['public.orders'], outcome: 'allow', rule: '"r"\n' };

function event(over: Partial<RecordedEvent> = {}): RecordedEvent {
  return { seq: 7, at: 1_790_000_000_000, kind: 'action', facts: FACTS, payload: { text: 'select 1' }, ...over };
}

t.test('an encoded event is the JSON of its parts, and is read back as it was', async (t) => {
  for (const one of [event(), event({ payload: null }), event({ kind: 'result', facts: { of: 7, ms: 0.25 } })]) {
    const encoded = encodeEvent(one);
    t.same(decodeEvent(encoded), one);
    t.ok(payloadMatches(encoded));
    t.equal(encoded.header, JSON.stringify(JSON.parse(encoded.header)));
  }
});

t.test('facts that come again are written again, and others in their place', async (t) => {
  const other = { ...FACTS, verb: 'update' };
  const facts = [FACTS, FACTS, other, FACTS].map((one) => decodeEvent(encodeEvent(event({ facts: one }))).facts);
  t.same(facts, [FACTS, FACTS, other, FACTS]);
});

t.test('no handle is in the header or the payload, also when it comes again', async (t) => {
  const facts = { ...FACTS, on: [HANDLE] };
  for (let n = 0; n < 2; n += 1) {
    const { header, payload } = encodeEvent(event({ facts, payload: { text: HANDLE } }));
    t.notMatch(header, /bbb/);
    t.notMatch(payload, /bbb/);
    t.match(header, /dp_a{22}_\[redacted\]/);
  }
});

t.test('a value of the chain keeps no more memory than it takes: each session that rests has one', async (t) => {
  const value = linked(Buffer.from('a header'));
  t.equal(bytesOfValue(value).toString('latin1'), value);
  for (const bytes of [bytesOfValue(value), genesis('a session')]) t.equal(bytes.buffer.byteLength, bytes.length);
});

t.test('ids sort by their time, and within one millisecond in the order in which they were made', async (t) => {
  const at = 1_790_000_000_000;
  const made = [at - 1, ...Array.from({ length: 2_000 }, () => at), at + 1].map(uuid7);
  t.same(made, [...made].sort());
  t.equal(new Set(made).size, made.length);
  t.ok(made.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)));
});
