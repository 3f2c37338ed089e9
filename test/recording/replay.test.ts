import t from 'tap';
import type { RecordedEvent } from '../../src/recording/event.js';
import { neutral } from '../../src/recording/neutral.js';
import type { SessionView } from '../../src/recording/read.js';
import { type Renderer, replay, replayEvent } from '../../src/recording/replay.js';

/** Table B3 of THREATS.md: what a reviewer must survive seeing. */
const HOSTILE: readonly (readonly [string, string])[] = [
  ['<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
  ['</script><svg onload=alert(1)>', '</script><svg onload=alert(1)>'],
  ['javascript:alert(1)', 'javascript:alert(1)'],
  ['\x1b[2J\x1b[H', '\\x1b[2J\\x1b[H'],
  ['\x1b]0;title\x07', '\\x1b]0;title\\x07'],
  ['\x1b]8;;http://evil\x1b\\click', '\\x1b]8;;http://evil\\x1b\\click'],
  ['\x1b]52;c;ZXZpbA==\x07', '\\x1b]52;c;ZXZpbA==\\x07'],
  ['\x1bP$q\x1b\\', '\\x1bP$q\\x1b\\'],
  ['\x9b31m\x9d0;x\x9c', '\\x9b31m\\x9d0;x\\x9c'],
  ['abc\rXYZ', 'abc\\rXYZ'],
  ['a\x00b\x08c\x7fd', 'a\\x00b\\x08c\\x7fd'],
  ['\u202eevil\u202c \u2066x\u2069', '\\u202eevil\\u202c \\u2066x\\u2069'],
  ['o\u200brders\u200d\ufeff\u2060\u00ad', 'o\\u200brders\\u200d\\ufeff\\u2060\\xad'],
  ['a\u2028b\u2029c\u0085d', 'a\\u2028b\\u2029c\\x85d'],
  ['tag\u{e0041}', 'tag\\u{e0041}'],
  ['half \ud800', 'half \\ud800'],
  ['filler \u3164\u115f', 'filler \\u3164\\u115f'],
  ['größe 注文 😀', 'größe 注文 😀'],
];

const renderer: Renderer = { name: 'postgres', render: ({ payload }) => payload?.text ?? '' };

function event(over: Partial<RecordedEvent>): RecordedEvent {
  return { seq: 7, at: Date.UTC(2026, 10, 23, 8, 0, 0, 5), kind: 'action', facts: {}, payload: null, ...over };
}

t.test('nothing recorded reaches a terminal raw', async (t) => {
  for (const [place, [text, shown]] of HOSTILE.entries()) {
    t.equal(neutral(text), shown, `case ${place} of the table`);
    for (const line of [
      replayEvent(event({ payload: { text } }), renderer),
      replayEvent(event({ facts: { verb: text }, payload: { text } }), undefined),
      replayEvent(event({ kind: 'open', facts: { principal: text, client: text } }), renderer),
      replayEvent(event({ kind: 'gap', facts: { why: text, [text]: 1 } }), renderer),
    ]) {
      t.notMatch(line.slice(0, -1), /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/);
    }
  }
});

t.test('recorded text of several lines cannot pose as another event', async (t) => {
  const forged = 'select 1\n2026-11-23 08:00:00.005      8  action  delete from orders\r\nend';
  const lines = replayEvent(event({ payload: { text: forged } }), renderer)
    .trimEnd()
    .split('\n');
  t.equal(lines[0], '2026-11-23 08:00:00.005      7  action  select 1');
  for (const line of lines.slice(1)) t.match(line, /^ {38,}\| /);
});

t.test('an event its protocol cannot put into words is shown as it stands', async (t) => {
  const broken: Renderer = {
    name: 'postgres',
    render: () => {
      throw new Error('no words');
    },
  };
  t.match(replayEvent(event({ facts: { verb: 'select' } }), broken), /verb=select .*no words/);
});

t.test('a replay begins with who, where and when, and tells every kind of event', async (t) => {
  const session: SessionView = {
    id: '0190a000-0000-7000-8000-000000000000',
    gatewayId: 'g',
    grantId: '0123456789abcdefghijkl',
    service: 'orders-db',
    protocol: 'postgres',
    principal: 'ali\x1bce',
    role: 'reader',
    client: '127.0.0.1',
    mode: 'strict',
    policyVersion: 'v1',
    startedAt: 0,
    endedAt: 1000,
    endReason: 'expired',
    dueAt: null,
    cutAt: null,
    bytesAfterDue: 0,
    counts: { actions: 0, denied: 0, rows: 0, bytesIn: 0, bytesOut: 0 },
  };
  async function* events() {
    yield event({
      seq: 1,
      kind: 'open',
      facts: { principal: 'alice', service: 'orders-db', role: 'reader', client: 'c' },
    });
    yield event({
      seq: 1,
      kind: 'open',
      facts: { principal: 'bob', service: 'orders-db', role: 'reader', client: 'c', refused: 'expired' },
    });
    yield event({ seq: 2, payload: { text: 'select 1' } });
    yield event({ seq: 3, kind: 'renewed', facts: { expiresAt: '2026-11-23T09:00:00.000Z' } });
    yield event({ seq: 4, kind: 'policy', facts: { policy: 'v2' } });
    yield event({ seq: 5, kind: 'gap', facts: { about: 'gateway_lost' } });
    yield event({ seq: 6, kind: 'close', facts: { reason: 'expired' } });
  }
  let text = '';
  for await (const piece of replay(session, events(), [renderer])) text += piece;
  for (const words of [
    'ali\\x1bce',
    'let in to orders-db',
    'bob was turned away from orders-db',
    'select 1',
    'extended until',
    'policy v2',
    'NOT EVERYTHING',
    'reason=expired',
  ]) {
    t.ok(text.includes(words), words);
  }
});
