import t from 'tap';
import { bodySample } from '../../src/http/describe.js';
import { redactHeaders, redactQuery, redactText } from '../../src/http/redact.js';

t.test('headers that carry credentials, ours or injected are recorded by name only', async (t) => {
  const headers = [
    ['Authorization', 'Basic x'],
    ['COOKIE', 'a=b'],
    ['daypass_handle', 'x'],
    ['X_Api_Key', 'x'],
    ['X-Team', 'x'],
    ['X-Csrf-Token', 'x'],
    ['Accept', '*/*'],
  ] as const;
  t.same(redactHeaders(headers, ['x-team']), [
    'Authorization: [redacted]',
    'COOKIE: [redacted]',
    'daypass_handle: [redacted]',
    'X_Api_Key: [redacted]',
    'X-Team: [redacted]',
    'X-Csrf-Token: [redacted]',
    'Accept: */*',
  ]);
});

t.test('parameters and members named like credentials lose their values', async (t) => {
  t.equal(
    redactQuery('?page=2&access_token=abc&Password=x&q=token'),
    '?page=2&access_token=[redacted]&Password=[redacted]&q=token',
  );
  t.equal(
    redactText('{"user": "a", "password" : "b\\"c", "n": 1}', 'application/json'),
    '{"user": "a", "password" : "[redacted]", "n": 1}',
  );
  t.equal(redactText('{"client_secret":"cut of', 'application/json'), '{"client_secret":"[redacted]');
  t.equal(redactText('a=1&pin=1234', 'application/x-www-form-urlencoded; charset=utf-8'), 'a=1&pin=[redacted]');
});

t.test('a sample is text where it is text, also when the bound cuts a character in two', async (t) => {
  const euro = Buffer.from('10 €');
  t.same(bodySample(euro.subarray(0, 5), false, 'text/plain'), { text: '10 ', type: 'text/plain', whole: false });
  t.same(bodySample(euro, true, 'text/plain'), { text: '10 €', type: 'text/plain', whole: true });
  t.same(bodySample(Buffer.from([0, 1, 255]), true, 'image/png'), { base64: 'AAH/', type: 'image/png', whole: true });
  t.equal(bodySample(Buffer.alloc(0), true, 'text/plain'), null);
});
