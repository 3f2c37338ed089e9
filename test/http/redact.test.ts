import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { formatHandle, mintId, mintSecret } from '../../src/grant/handle.js';
import type { RequestAction } from '../../src/http/action.js';
import { codingOf } from '../../src/http/packed/coding.js';
import { bodySample, describe } from '../../src/http/record/describe.js';
import { holdsHandle } from '../../src/http/record/disguised.js';
import { CREDENTIAL_PART } from '../../src/http/record/looks.js';
import { MessageFacts } from '../../src/http/record/message-facts.js';
import { redactBody, redactHeaders, redactPath, redactQuery } from '../../src/http/record/redact.js';
import { isSecretHeaderName, isSecretName, SECRET_PART } from '../../src/http/record/secret-names.js';
import { isWorthALook } from '../../src/http/record/worth-a-look.js';
import { readTarget } from '../../src/http/rules/path.js';

const OPENING: RequestAction = {
  kind: 'request',
  method: 'WS',
  target: readTarget('/live'),
  rawTarget: '/live',
  client: '127.0.0.1',
  headers: [],
  injected: [],
};

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
  t.equal(redactHeaders(headers, [])[4], 'X-Team: x', 'the same headers under another policy');
  t.same(redactHeaders([['Cookie', 'a=b; _method=delete']], []), ['Cookie: [redacted]; _method=DELETE']);
  t.same(redactHeaders([['Cookie', '_method=c4nary']], []), ['Cookie: [redacted]; _method=UNKNOWN']);
  const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x';
  t.same(redactHeaders([['Sec-WebSocket-Protocol', `v1, ${jwt}`]], []), ['Sec-WebSocket-Protocol: v1, [redacted]']);
  t.same(redactHeaders([['Referer', 'https://h/x?password%ff=x&b=1']], []), [
    'Referer: https://h/x?password%ff=[redacted]&b=1',
  ]);
  t.equal(redactPath(`/reset/${jwt}/x`), '/reset/[redacted]/x');
  t.equal(redactPath('/reset/x'), '/reset/x');
});

t.test('parameters and members named like credentials lose their values', async (t) => {
  t.equal(
    redactQuery('?page=2&access_token=abc&Password=x&q=token'),
    '?page=2&access_token=[redacted]&Password=[redacted]&q=token',
  );
  t.equal(
    redactBody('{"user": "a", "password" : "b\\"c", "n": 1}', 'application/json'),
    '{"user": "a", "password" : "[redacted]", "n": 1}',
  );
  t.equal(redactBody('{"client_secret":"cut of', 'application/json'), '{"client_secret":"[redacted]');
  t.equal(redactBody('a=1&pin=1234', 'application/x-www-form-urlencoded; charset=utf-8'), 'a=1&pin=[redacted]');
});

t.test('members are known by any name a credential has, in whatever case and however its letters are written', (t) => {
  const names = [
    'pass',
    'passwd',
    'userPassword',
    'passphrase',
    'client_secret',
    'TOKEN',
    'tokens',
    'apikey',
    'Api-Key',
  ];
  names.push(
    'signature',
    'credentials',
    'auth',
    'sig',
    'code',
    'jwt',
    'session',
    'sid',
    'PIN',
    'otp',
    'user[otp]',
    'a.pin',
  );
  for (const name of names) {
    const escaped = `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}`;
    for (const written of [name, escaped]) {
      const text = redactBody(JSON.stringify({ n: 1, v: 'x' }).replace('"v"', `"${written}"`), 'text/plain');
      t.equal(text, `{"n":1,"${written}":"[redacted]"}`);
    }
  }
  t.equal(redactBody('{"key":"x","monkey":"y"}', 'text/plain'), '{"key":"x","monkey":"y"}');
  t.end();
});

t.test('each word by which a credential is known makes a name one, and no other', (t) => {
  const anywhere = ['password', 'passwd', 'passphrase', 'passcode', 'secret', 'token', 'api_key', 'signature'];
  anywhere.push('credential', 'authorization', 'SAMLResponse', 'sessid', 'session_id', 'code_verifier');
  const opening = ['private', 'access', 'account', 'master', 'encryption', 'signing', 'subscription', 'function'];
  opening.push('functions', 'shared', 'auth', 'application', 'app', 'customer', 'client', 'session', 'storage', 'ssh');
  opening.push('service', 'license', 'consumer', 'deploy', 'admin', 'developer', 'integration');
  const last = ['auth', 'authentication', 'sig', 'jwt', 'jws', 'pass', 'session', 'sid', 'pin', 'otp', 'totp', 'csrf'];
  last.push('xsrf', 'crumb', 'bearer', 'dpop', 'cvv', 'cvv2', 'cvc', 'cvc2', 'mfa', 'cookie', 'cookies', 'assertion');
  const proving = ['otp', 'totp', 'mfa', '2fa', 'auth', 'authorization', 'verification', 'security', 'recovery'];
  proving.push('backup', 'access', 'login', 'device', 'user', 'invite', 'activation', 'confirmation', 'reset', 'sms');
  proving.push('pin', 'onetime', 'one-time');
  const secret = [
    ...anywhere.map((word) => `x${word}y`),
    ...opening.flatMap((word) => [`my_${word}_key`, `my${word}Key`]),
    ...last.flatMap((word) => [
      word,
      `my-${word}`,
      `MY${word.charAt(0).toUpperCase()}${word.slice(1)}`,
      `my_${word}_2`,
    ]),
    ...proving.flatMap((word) => [`${word}_code`, `my-${word}-code`]),
    ...[
      'code',
      'mypass',
      'mypwd',
      'pwd_old',
      'user[pin]',
      'user[pin][0][]',
      'oauth[code]',
      'oauth[code][0][]',
      'pins[0].pin',
      'a.b.otp',
      'USERPin',
    ],
  ];
  for (const name of secret) t.ok(isSecretName(name), name);
  const plain = [
    'key',
    'monkey',
    'author',
    'zip_code',
    'codes',
    'passenger',
    'pin_board',
    'session_count',
    'pwds',
    '2',
  ];
  for (const name of [...plain, 'pin[x]', 'pin.x', 'design', 'pinned']) t.notOk(isSecretName(name), name);
  const headers = ['authorization', 'proxy-authorization', 'set-cookie', 'cookie2', 'set-cookie2', 'x-any-key'];
  for (const name of [...headers, 'x-jfrog-art-api', 'x-amzn-oidc-data']) t.ok(isSecretHeaderName(name), name);
  for (const word of ['sec-websocket', 'idempotency', 'surrogate', 'x-partition', 'x-routing', 'x-cache'])
    t.notOk(isSecretHeaderName(`${word}-key`), word);
  t.end();
});

t.test('whatever a part of a credential stands in is worth a look, wherever and in whatever case', async (t) => {
  const spelled = [SECRET_PART, CREDENTIAL_PART]
    .flatMap(({ source }) => source.split('|'))
    .flatMap((part) =>
      ['a', 'q', 'z'].map((letter) =>
        part
          .replace('[a-z]', letter)
          .replace(/\[(.)(.)\]/, letter === 'a' ? '$1' : '$2')
          .replace('_?', letter === 'a' ? '' : '_')
          .replace('\\', ''),
      ),
    );
  const parts = [...new Set(spelled), '//', '\\', '%'];
  const plain = ['', 'x', '-', ' ', '"', 'é', '\u{1f600}', '\0', '0', '_', 'y'.repeat(300)];
  for (const part of parts)
    for (const one of [part, part.toUpperCase(), part.toLowerCase()])
      for (const before of plain)
        for (const after of plain) if (!isWorthALook(before + one + after)) t.fail(`${before}${one}${after}`);
  const text = '{"type":"update","id":48213,"data":{"bid":101.25,"at":"2026-11-28T14:20:48Z"}} é/a';
  t.notOk(isWorthALook(text));
  t.ok(isWorthALook(`${text}//`));
});

const sampled = (bytes: Buffer, isWhole: boolean, type: string, coding = '') =>
  bodySample({ bytes, isWhole, type, coding: codingOf([['Content-Encoding', coding]]) }, 64 * 1024);

t.test('a sample is text where it is text, also when the bound cuts a character in two', async (t) => {
  const euro = Buffer.from('10 €');
  t.same(sampled(euro.subarray(0, 5), false, 'text/plain'), { text: '10 ', type: 'text/plain', whole: false });
  t.same(sampled(euro, true, 'text/plain'), { text: '10 €', type: 'text/plain', whole: true });
  t.same(sampled(Buffer.from([0, 1, 255]), true, 'image/png'), {
    sha256: createHash('sha256')
      .update(Buffer.from([0, 1, 255]))
      .digest('hex'),
    bytes: 3,
    type: 'image/png',
    whole: true,
  });
  t.equal(sampled(Buffer.alloc(0), true, 'text/plain'), null);
});

t.test('D27: a body that cannot be searched for secrets is recorded as its digest and size', async (t) => {
  const json = '{"password":"canary"}';
  const bodies: readonly (readonly [Buffer, string, string?])[] = [
    [gzipSync(gzipSync(json)), 'application/json', 'gzip, gzip'],
    [gzipSync(Buffer.from(json, 'utf16le')), 'application/json', 'gzip'],
    [gzipSync(json), 'application/json; charset=utf-7', 'gzip'],
    [gzipSync(json).subarray(4), 'application/json', 'gzip'],
    [gzipSync(json).subarray(0, 8), 'application/json', 'gzip'],
    [gzipSync(json), 'application/json', 'zstd'],
    [Buffer.from(json), 'application/json', 'br'],
    [Buffer.from(json, 'utf16le'), 'application/json'],
    [Buffer.from(json), 'application/json; charset=utf-7'],
    [Buffer.concat([Buffer.from(json), Buffer.from([0xff])]), 'application/json'],
  ];
  for (const [bytes, type, encoding] of bodies) {
    const payload = sampled(bytes, true, type, encoding);
    t.match(payload, { sha256: /^[0-9a-f]{64}$/, bytes: bytes.byteLength }, `${type} ${encoding}`);
    t.same(Object.keys(payload ?? {}).sort(), ['bytes', 'sha256', 'type', 'whole']);
  }
  t.match(sampled(Buffer.from('{}'), true, 'application/json; charset="UTF-8"'), { text: '{}' });
});

t.test('D27: secrets in JSON are redacted whatever their type', async (t) => {
  const cases: Readonly<Record<string, string>> = {
    '{"pin":123456,"n":1}': '{"pin":"[redacted]","n":1}',
    '{"password":["x","y]"],"n":1}': '{"password":"[redacted]","n":1}',
    '{"secret":{"a":{"b":"x}"}},"n":1}': '{"secret":"[redacted]","n":1}',
    '{"token":true}': '{"token":"[redacted]"}',
    '{"token"            :            "x"}': '{"token"            :            "[redacted]"}',
    '{"password":["cut","of': '{"password":"[redacted]"',
    '{"pin":12': '{"pin":"[redacted]"',
    '[{"user":"a"},{"otp":-1.5e3}]': '[{"user":"a"},{"otp":"[redacted]"}]',
  };
  for (const [text, expected] of Object.entries(cases)) t.equal(redactBody(text, 'application/json'), expected);
});

t.test(
  'D27: parameters are found behind every separator, in every header, and in a target with two meanings',
  async (t) => {
    t.equal(redactQuery('?a=1;token=x'), '?a=1;token=[redacted]');
    t.equal(redactQuery('//x?code=abc&b=1'), '//x?code=[redacted]&b=1');
    t.equal(redactQuery('http://alice:pw@host/x?sig=a;b&c=1'), 'http://[redacted]@host/x?sig=[redacted]&c=1');
    t.equal(redactQuery('user[password]=x&b=1'), 'user[password]=[redacted]&b=1');
    t.same(redactHeaders([['Referer', 'https://a.test/x?page=1&access_token=abc']], []), [
      'Referer: https://a.test/x?page=1&access_token=[redacted]',
    ]);
    const token = Buffer.from('canary').toString('base64url');
    t.same(redactHeaders([['Sec-WebSocket-Protocol', `base64url.bearer.authorization.k8s.io.${token}, v4`]], []), [
      'Sec-WebSocket-Protocol: [redacted], v4',
    ]);
  },
);

/** As mail and PEM have it, of lines that end before the handle does. */
const inLines = (text: string, end: string) => text.replace(/.{64}(?=.)/g, `$&${end}`);

const spellings = (handle: string): Readonly<Record<string, string>> => ({
  plain: handle,
  percent: [...handle].map((character) => `%${character.charCodeAt(0).toString(16)}`).join(''),
  'percent, the first alone': `%64${handle.slice(1)}`,
  'percent twice': `%2564${handle.slice(1)}`,
  'JSON escapes': handle.replace('dp_', '\\u0064\\u0070\\u005f'),
  hex: Buffer.from(handle).toString('hex'),
  'hex in capitals': Buffer.from(handle).toString('hex').toUpperCase(),
  'base64 in lines': inLines(Buffer.from(`${'x'.repeat(30)}${handle}`).toString('base64'), '\r\n'),
  'base64 in lines of Unix': inLines(Buffer.from(`${'x'.repeat(30)}${handle}`).toString('base64'), '\n'),
  ...Object.fromEntries(
    ['', 'x', 'xy'].flatMap((before) => [
      [`base64 behind ${before}`, Buffer.from(`${before}${handle} and more`).toString('base64')],
      [`base64url behind ${before}`, Buffer.from(`${before}${handle}`).toString('base64url')],
    ]),
  ),
});

t.test('A16, D27: a handle is recorded in no spelling, of text or of frames', async (t) => {
  for (let round = 0; round < 20; round += 1) {
    const secret = mintSecret();
    const handle = formatHandle({ id: mintId(), secret });
    for (const [name, spelled] of Object.entries(spellings(handle))) {
      const traces = [secret, spelled.slice(-12)];
      const wrapped = `before ${spelled} after`;
      const binary = Buffer.concat([Buffer.from([255, 0]), Buffer.from(wrapped)]);
      const message = (kind: 'text' | 'binary', data: Buffer) =>
        describe({ kind: 'message', opening: OPENING, facts: new MessageFacts('/live', undefined), frame: kind, data });
      const frame = (kind: 'text' | 'binary', data: Buffer) => message(kind, data).payload ?? {};
      const recorded = [
        redactBody(wrapped, 'text/plain'),
        redactBody(`a=${spelled}`, 'application/x-www-form-urlencoded'),
        redactQuery(`?x=${spelled}&y=1`),
        redactHeaders([['X-Note', wrapped]], []).join(),
        String(frame('text', Buffer.from(wrapped)).text),
        String(frame('binary', Buffer.from(wrapped)).text),
        JSON.stringify(message('binary', binary)),
      ];
      for (const text of recorded)
        t.notOk(
          traces.some((trace) => text.includes(trace)),
          name,
        );
      t.match(String(frame('binary', Buffer.from(wrapped)).text), /before .* after/, 'the rest of a frame stays');
    }
    const wide = describe({
      kind: 'message',
      opening: OPENING,
      facts: new MessageFacts('/live', undefined),
      frame: 'binary',
      data: Buffer.from(`\xff${handle}`, 'utf16le'),
    });
    t.match(wide, { facts: { sha256: /^[0-9a-f]{64}$/, bytes: 2 * handle.length + 2 }, payload: undefined });
  }
});

t.test('A16, D27: a handle that the bound of a sample cuts is not recorded in part', async (t) => {
  const handle = formatHandle({ id: mintId(), secret: mintSecret() });
  for (let kept = 3; kept < handle.length; kept += 1) {
    const sample = Buffer.from(`text ${handle.slice(0, kept)}`);
    // From the first character of the secret on it is seen to be a handle, and the grant's id stays.
    const expected = kept > 26 ? `text ${handle.slice(0, 26)}[redacted]` : 'text [redacted]';
    t.equal(sampled(sample, false, 'text/plain')?.text, expected, `${kept} characters`);
  }
});

t.test('A16: a whole handle in a target is found in every spelling of URLs, and none of less', async (t) => {
  const handle = formatHandle({ id: mintId(), secret: mintSecret() });
  for (const [name, spelled] of Object.entries(spellings(handle))) {
    if (name === 'JSON escapes' || name.includes('lines')) continue; // no target holds a backslash, or a line's end
    for (const target of [`/x?h=${spelled}`, `/x/${spelled}/y`, `/x%2F${spelled}`])
      t.ok(holdsHandle(target), `${name}: ${target}`);
  }
  t.notOk(holdsHandle(`/x?h=${handle.slice(0, -1)}`));
  t.notOk(holdsHandle('/dp_x'));
  t.notOk(
    holdsHandle(`/blobs/sha256:64705f${'3a'.repeat(22)}5f${'b'.repeat(12)}`),
    'a digest that happens to look like one',
  );
  t.notOk(holdsHandle(`/${Buffer.from(`no handle ${mintSecret()} at all`).toString('base64url')}`));
});
