import t from 'tap';
import { redactQuery, redactText } from '../../src/http/redact.js';
import { createLog, harmlessJson } from '../../src/log.js';

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
  for (const [type, body] of bodies) t.notMatch(redactText(body, type), /SECRET/, body);
  t.notMatch(redactQuery('?p%61ssword=SECRET'), /SECRET/);
  t.match(redactText('{"note":"kept"}', 'application/json'), /kept/);
  t.end();
});
