import t from 'tap';
import { harTranscript } from '../../src/http/record/har.js';
import { redactBody, redactQuery } from '../../src/http/record/redact.js';
import { createLog, harmlessJson } from '../../src/log.js';
import type { RecordedEvent } from '../../src/recording/event.js';
import type { SessionView } from '../../src/recording/read.js';

const CSI = '\u009b';
const BIDI = '\u202e';

t.test('D25: JSON for a terminal and the log hold no character that steers it, and the same values', (t) => {
  const value = { text: `select 'x' as "${CSI}2J" /* ${BIDI} */ \u200b \ufeff` };
  const json = harmlessJson(JSON.stringify(value));
  t.notMatch(json, /[\u007f-\u009f\u200b-\u200f\u202a-\u202e\ufeff]/);
  t.same(JSON.parse(json), value);
  const lines: string[] = [];
  createLog('info', (line) => lines.push(line)).info({ principal: `${CSI}${BIDI}` }, 'x');
  t.notMatch(lines[0], /[\u009b\u202e]/);
  t.equal(JSON.parse(lines[0] ?? '{}').principal, `${CSI}${BIDI}`);
  t.end();
});

t.test('D27: a secret is recognised by its name as the service reads it, however it is written', (t) => {
  const bodies: readonly (readonly [string, string])[] = [
    ['application/json', '{"p\\u0061ssword":"SECRET"}'],
    ['application/x-www-form-urlencoded', 'p%61ssword=SECRET&a=b'],
    ['application/x-www-form-urlencoded', 'api+key=x&pass%77ord=SECRET'],
    [
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data; name="password"\r\n\r\nSECRET\r\n--x--',
    ],
  ];
  for (const [type, body] of bodies) t.notMatch(redactBody(body, type), /SECRET/, body);
  t.notMatch(redactQuery('?p%61ssword=SECRET'), /SECRET/);
  t.match(redactBody('{"note":"kept"}', 'application/json'), /kept/);
  t.end();
});

t.test('D26: what somebody sent over WebSockets cannot fill the memory of whoever looks at it', async (t) => {
  const MEBIBYTE = 2 ** 20;
  const text = 'x'.repeat(MEBIBYTE);
  async function* events(): AsyncGenerator<RecordedEvent> {
    const of = { kind: 'action', at: 0 } as const;
    for (let socket = 0; socket < 4; socket += 1) {
      const on = [`/live/${socket}`];
      yield { ...of, seq: socket, facts: { verb: 'WS', on, outcome: 'allow' }, payload: { text: `WS ${on}` } };
      for (let n = 0; n < 16; n += 1)
        yield { ...of, seq: 100 * (socket + 1) + n, facts: { verb: 'message', on, frame: 'text' }, payload: { text } };
    }
    for (let socket = 0; socket < 4; socket += 1)
      yield { kind: 'result', at: 0, seq: 1_000 + socket, facts: { of: socket }, payload: null };
    yield {
      ...of,
      seq: 2_000,
      facts: { verb: 'WS', on: ['/live/0'], outcome: 'allow' },
      payload: { text: 'WS /live/0' },
    };
    yield { ...of, seq: 2_001, facts: { verb: 'message', on: ['/live/0'], frame: 'text' }, payload: { text: 'later' } };
  }
  const session = { id: 's', principal: 'alice', service: 'web', role: 'viewer' } as SessionView;
  let written = '';
  for await (const piece of harTranscript.write(session, events())) written += piece;
  const { entries } = JSON.parse(written).log;
  t.equal(entries.length, 5);
  t.ok(written.length < 20 * MEBIBYTE, `${written.length} characters were held`);
  t.match(entries[1], { comment: '16 more messages are in the recording' }, 'what is left out is said');
  t.match(entries[4], { _webSocketMessages: [{ data: 'later' }] }, 'what was written makes room');
});

t.test(
  'D25: an archive holds no character that steers a terminal, says what is missing, and all that the record knows',
  async (t) => {
    const hostile = `${CSI}2J${BIDI}\u200b<script>=cmd()`;
    async function* events(): AsyncGenerator<RecordedEvent> {
      const facts = { verb: 'GET', on: [hostile], outcome: 'allow', rule: hostile } as const;
      yield { seq: 1, at: 0, kind: 'action', facts, payload: { text: `GET /${hostile}`, headers: [`x: ${hostile}`] } };
      const body = { text: hostile, type: hostile, whole: false };
      const said = {
        of: 1,
        status: '200',
        contentType: hostile,
        responseSha256: 'abc',
        reason: 'client_left',
        repeated: true,
      };
      yield { seq: 2, at: 0, kind: 'result', facts: said, payload: { ...body, response: body } };
    }
    const session = { id: 's', principal: hostile, service: 'web', role: 'viewer' } as SessionView;
    let written = '';
    for await (const piece of harTranscript.write(session, events())) written += piece;
    t.notMatch(written, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\ufeff]/);
    const [entry] = JSON.parse(written).log.entries;
    const beginning = { text: hostile, comment: 'its beginning; the rest is not recorded' };
    t.match(entry, {
      request: { url: `http://web/${hostile}`, postData: beginning },
      response: { content: beginning },
      _daypass: { result: { responseSha256: 'abc', reason: 'client_left', repeated: true } },
    });
  },
);
