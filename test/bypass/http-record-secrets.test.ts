import { once } from 'node:events';
import t, { type Test } from 'tap';
import { redactBody, redactHeaders, redactQuery } from '../../src/http/record/redact.js';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';
import { dialWebSocket } from '../http/over-tls.js';
import { rawService } from '../http/raw-service.js';
import { unmasked } from '../http/ws-frames.js';

/* D27: no credential that passed stands in the record or the log, however the text around it is written. */

const SECRET = 'C4nary-s3cret';
const JSON_TYPE = 'application/json';
const FORM = 'application/x-www-form-urlencoded';
const MULTIPART = 'multipart/form-data; boundary=x';
const part = (head: string) => `--x\r\n${head}\r\n\r\n${SECRET}\r\n--x--`;
const within = (levels: number): string =>
  levels === 0 ? JSON.stringify({ password: SECRET }) : JSON.stringify({ data: within(levels - 1) });

const BODIES: readonly (readonly [type: string, body: string])[] = [
  ...[0, 1, 2, 3].map((levels) => [JSON_TYPE, within(levels)] as const),
  ...[
    ...['password1', 'passwords', 'newPasswordAgain', 'password_confirmation', 'passcode', 'pwd', 'db_pass'],
    ...['authorization', 'Authorization', 'cookie', 'set-cookie', 'session_id', 'sessionId', 'JSESSIONID', 'bearer'],
    ...['private_key', 'accessKey', 'mfa_code', 'userPIN', 'totp', 'cvv', 'client_assertion', 'x-csrf'],
  ].map((name) => [JSON_TYPE, JSON.stringify({ [name]: SECRET })] as const),
  [JSON_TYPE, `{"password" /* x */ : // y\n "${SECRET}"}`],
  [JSON_TYPE, `{'password':'${SECRET}'}`],
  [JSON_TYPE, `{password:"${SECRET}"}`],
  [JSON_TYPE, `{password:["a","${SECRET}"]}`],
  [JSON_TYPE, `{password:{"a":"${SECRET}"}}`],
  [JSON_TYPE, `\ufeff{"password":"${SECRET}"}`],
  [JSON_TYPE, `{"password":"a","password":"${SECRET}"}`],
  [JSON_TYPE, `{"x":"a\\\\","password":"${SECRET}"}`],
  [JSON_TYPE, `{"x":"unbalanced \\" quote","password":"${SECRET}"}`],
  [JSON_TYPE, `{"name":"password","value":"${SECRET}"}`],
  [JSON_TYPE, `{"query":"mutation { login(user:\\"a\\", password:\\"${SECRET}\\") { id } }"}`],
  [JSON_TYPE, `{"url":"https://host/x?access_token=${SECRET}&b=1","next":"https://bob:${SECRET}@host/"}`],
  [JSON_TYPE, `{"key":"-----BEGIN RSA PRIVATE KEY-----\\n${SECRET}\\n-----END RSA PRIVATE KEY-----"}`],
  ['application/graphql', `mutation { login(user:"a", password:"${SECRET}") { id } }`],
  ['application/x-ndjson', `{"a":1}\n{"password":"${SECRET}"}\n`],
  ['text/event-stream', `data: {"password":\ndata: "${SECRET}"}\n\n`],
  ['text/plain', `-----BEGIN PRIVATE KEY-----\n${SECRET}`],
  ['text/plain', `it is eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.${SECRET}`],
  ['text/plain', `X-Note: Bearer ${SECRET}\r\n`],
  ['text/plain', `Cookie: a=b; c=${SECRET}\r\n`],
  [
    'text/plain',
    `ghp_${'0123456789abcdefghij'}${SECRET.replace('-', '')}`.replace(SECRET.replace('-', ''), SECRET.slice(0, 6)),
  ],
  ['application/yaml', `user: a\npassword: my ${SECRET}\n`],
  ['application/octet-stream', `user=a&password=${SECRET}`],
  ['text/plain', `\0mysql --password=${SECRET} shop\n`],
  ['text/plain', `\0vault login --token "${SECRET}"\n`],
  ['text/plain', `\0x --api-key  ${SECRET} --verbose`],
  ['text/plain', `\0PGPASSWORD=${SECRET} psql\n`],
  ['application/xml', `<login><password>${SECRET}</password></login>`],
  ['text/xml', `<wsse:Password Type="x"><![CDATA[${SECRET}]]></wsse:Password>`],
  ['text/xml', `<credential><id>a</id><value>${SECRET}</value></credential>`],
  ['text/xml', `<user password="${SECRET}"/>`],
  ['text/html', `<input type="hidden" name="csrf_token" value="${SECRET}">`],
  [FORM, `user=a&p%2561ssword=${SECRET}`],
  [FORM, `password%ff=${SECRET}`],
  [FORM, `password%5B0%5D=${SECRET}`],
  [FORM, `json=%7B%22password%22%3A%22${SECRET}%22%7D`],
  [FORM, `{"password":"${SECRET}="}`],
  [` ${FORM}`, `user=a&password=${SECRET}`],
  [MULTIPART, part('Content-Disposition: form-data; name=password')],
  [MULTIPART, part('Content-Disposition: form-data; name = "password"')],
  [MULTIPART, part('Content-Disposition : form-data; filename="a"; name="password"')],
  [MULTIPART, part('Content-Disposition: form-data;\r\n name="p%61ssword"')],
  [MULTIPART, part(`Content-Disposition: form-data; name="password"\r\nX-Pad: ${'y'.repeat(1_000)}`)],
  [MULTIPART, part("Content-Disposition: form-data; name*=utf-8''code")],
  [MULTIPART, part('Content-Disposition: form-data; name=password').replaceAll('\r\n', '\n')],
  [MULTIPART, part('Content-Disposition: form-data; name="password"\r\n\r\nfirst\r\n--line')],
  ['multipart/form-data', part('Content-Disposition: form-data; name="password"\r\n\r\nfirst\r\n--line')],
];

const QUERIES = [
  '?p%2561ssword=SECRET',
  '?password%ff=SECRET',
  '?password[0]=SECRET',
  '?next=%2Fx%3Ftoken%3DSECRET',
  '?filter=%7B%22password%22:%22SECRET%22%7D',
  '?u=http%3A%2F%2Fa%3ASECRET%40h',
  '?u=//a:SECRET@h',
  '?session_id=SECRET',
  '?SAMLResponse=SECRET',
  '?code_verifier=SECRET',
  '/x;jsessionid=SECRET',
].map((query) => query.replace('SECRET', SECRET));

const HEADERS = [
  ...['X-CSRF', 'Ocp-Apim-Subscription-Key', 'X-Functions-Key', 'DD-APPLICATION-KEY', 'X-Auth-Key', 'X-Auth'],
  ...['X-Authorization', 'X-Forwarded-Authorization', 'Authentication', 'X-Session', 'X-Session-Id', 'DPoP', 'X-Pin'],
  ...['X-Jwt-Assertion', 'X-Amzn-Oidc-Data', 'X-GitHub-OTP', 'X-MFA-Code', 'Fastly-Key', 'X-Sentry-Auth', 'X-Bearer'],
  ...['X-Cookie', 'X-JFrog-Art-Api', 'X-Amz-Server-Side-Encryption-Customer-Key', 'Jenkins-Crumb'],
];

t.test('D27: credentials are cut out of bodies of every kind, whole or cut off, and the rest is as it was', (t) => {
  for (const [type, body] of BODIES) {
    const safe = redactBody(body, type);
    t.notMatch(safe, /C4nary/, `${type}: ${body.slice(0, 80)}`);
    t.match(safe, /\[redacted\]/);
    const begun = body.slice(0, body.indexOf('C4nary') + 9);
    if (begun.includes('C4nary'))
      t.notMatch(redactBody(begun, type, false), /C4nary/, `the beginning of ${body.slice(0, 80)}`);
  }
  const kept = [
    '{"data":"{\\"author\\":\\"bob\\",\\"monkey\\":\\"x\\",\\"country_code\\":\\"de\\"}","n":12345678901234567890}',
    '{"big":12345678901234567890,"big":1.50,"url":"https://host/x?page=2"}',
    'a sentence about basic functionality: nothing else',
    'data: {"n":\ndata: 1}\n\n',
    'it is at http://host:8080',
  ];
  for (const text of kept) t.equal(redactBody(text, 'text/plain'), text);
  t.equal(redactBody(`at https://bob:${SECRET}`, 'text/plain', false), 'at https://[redacted]');
  t.equal(
    redactBody('{"data":"{\\"password\\":\\"x\\",\\"n\\":[1,\\"a\\"]}","n":1}', JSON_TYPE),
    '{"data":"{\\"password\\":\\"[redacted]\\",\\"n\\":[1,\\"a\\"]}","n":1}',
  );
  t.equal(
    redactBody(
      `${part('Content-Disposition: form-data; name="pin"').slice(0, -2)}\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--`,
      MULTIPART,
    ),
    '--x\r\nContent-Disposition: form-data; name="pin"\r\n\r\n[redacted]\r\n--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--',
  );
  t.end();
});

t.test('D27: credentials are cut out of queries and headers', (t) => {
  for (const query of QUERIES) t.notMatch(redactQuery(query), /C4nary/, query);
  t.equal(redactQuery('?page=2&q=a%20b&q=a%2526b'), '?page=2&q=a%20b&q=a%2526b');
  t.equal(
    redactQuery('?q=token:abc&page=2&r=%22pin%22:%22x&s=1'),
    '?q=token:[redacted]&page=2&r=%22pin%22:%22[redacted]&s=1',
  );
  t.equal(redactBody('note=code:+5&amount=%31', FORM), 'note=code:[redacted]&amount=%31');
  t.equal(redactBody('{"password":"a&C4nary"}', FORM), '{"password":"[redacted]"}');
  t.same(redactHeaders([['X-Data', '{"password":"a&C4nary"}']], []), ['X-Data: {"password":"[redacted]"}']);
  for (const name of HEADERS) t.same(redactHeaders([[name, SECRET]], []), [`${name}: [redacted]`]);
  for (const [name, value] of [
    ['Sec-WebSocket-Protocol', `access_token, ${SECRET}, v4`],
    ['Sec-WebSocket-Protocol', `v4, token.${SECRET}`],
    ['X-Data', `{"password":"${SECRET}"}`],
    ['X-Original', `Bearer ${SECRET}`],
    ['X-Url', `/x;jsessionid=${SECRET}`],
    ['Link', `<http://h/x?token=${SECRET}>; rel=next`],
  ] as const)
    t.notMatch(redactHeaders([[name, value]], []), /C4nary/, `${name}: ${value}`);
  for (const name of ['Sec-WebSocket-Key', 'Idempotency-Key', 'X-Author', 'Accept'])
    t.same(redactHeaders([[name, 'a']], []), [`${name}: a`]);
  t.end();
});

t.test('D27: what is cut out is found in one run through a text, whatever it is made of', (t) => {
  const pieces = [
    '"',
    '\\',
    '\\"',
    '%25',
    'eyJ',
    'password',
    'password:',
    '"password":{',
    '<token>',
    '//',
    'name="a" ',
  ];
  pieces.push('\r\n--', '-----BEGIN PRIVATE KEY', '"a"/*', '{"a":"b\\n"},', '--x\r\n', "'", 'Bearer ', '"\\"');
  pieces.push('pin=\n', 'pin:a ', '"pin"\n//', '"pin"/*"pin"/**/');
  const whole = pieces.map((piece) => piece.repeat((512 * 1024) / piece.length));
  // Names of a form or a member as long as its body.
  const names = ['[', ']', '[1]', '-1', '.%22', '-otp', '_'].map((piece) => `key${piece.repeat(256 * 1024)}x`);
  whole.push(...names.map((name) => `${name}=1`), ...names.map((name) => `{"${name}":1}`));
  for (const head of ['{"name":"pin"', 'name="pin" a="b"', '"pin"', '<pin', 'pin:', 'pin', '&pin=1;', 'name'])
    whole.push(`${head}${' '.repeat(512 * 1024)}x`, `${head}${'\n'.repeat(512 * 1024)}x`);
  // What is quadratic takes minutes, and the test's own limit ends it.
  for (const text of whole)
    for (const type of ['text/plain', FORM, MULTIPART, 'multipart/mixed']) redactBody(text, type);
  t.end();
});

/* The secrets below are the service's: injected by the gateway, and said by it or by a client that has learnt them. */

const INJECTED = 'c4nary/T0ken+with"quote';
const ROLES = { viewer: { allow: ['GET /**', 'POST /**', 'WS /**'], recording: { bodies: '64KiB' } } };
const headers = { 'x-up': `Bearer ${INJECTED}` };
const head = (handle: string) => `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n`;

async function facing(t: Test, url: string) {
  const gateway = await startGateway(t, { web: { url, headers, roles: ROLES } });
  const written = async () => JSON.stringify(await gateway.events()) + gateway.lines.join('');
  return { gateway, written, handle: gateway.issue('web').handle };
}

t.test(
  'D27: an injected secret is in no record and no log line, wherever it is said and however it is spelled',
  async (t) => {
    const bytes = Buffer.from(INJECTED);
    const spellings = {
      plain: INJECTED,
      json: JSON.stringify({ of: INJECTED }),
      url: encodeURIComponent(INJECTED),
      hex: bytes.toString('hex'),
      base64: ['', 'x', 'xy'].map((before) => Buffer.from(`${before}${INJECTED}z`).toString('base64')).join(' '),
      base64url: Buffer.from(`x${INJECTED}`).toString('base64url'),
    };
    for (const [name, spelled] of Object.entries(spellings)) {
      const echo = await startEcho(t, (req, res) => {
        res.setHeader('content-type', `text/plain; of=${encodeURIComponent(INJECTED)}`);
        req.resume().once('end', () => res.end(`<< ${spelled} >>`));
      });
      const { gateway, written, handle } = await facing(t, echo.url);
      const target = `/${encodeURIComponent(spelled)}?q=${encodeURIComponent(spelled)}`;
      for (const method of ['POST', 'DELETE'])
        await raw(
          t,
          gateway.port,
          `${method} ${target} HTTP/1.1\r\n${head(handle)}X-Note: ${spelled}\r\nContent-Length: ${spelled.length}\r\n\r\n${spelled}`,
        ).ended;
      await raw(
        t,
        gateway.port,
        `POST / HTTP/1.1\r\n${head(handle)}Content-Length: ${spelled.length}\r\n\r\n${spelled}`,
      ).ended;
      const all = await written();
      const traces = spelled.split(' ').map((one) => one.slice(4, -5));
      for (const trace of ['T0ken', ...traces, ...traces.map(encodeURIComponent)])
        t.notOk(all.includes(trace), `${name}: ${trace}`);
      t.match(all, /<< .*\[redacted\].* >>/, 'around it the record is as it was');
    }
  },
);

t.test('D27: an injected secret that the bound of a body cuts is not recorded in part', async (t) => {
  for (let cut = 0; cut <= INJECTED.length; cut += 5) {
    const echo = await startEcho(t, (_req, res) => res.end(`${'z'.repeat(65_536 - cut)}${INJECTED}zzzz`));
    const { gateway, written, handle } = await facing(t, echo.url);
    await raw(t, gateway.port, `GET / HTTP/1.1\r\n${head(handle)}\r\n`).ended;
    t.notMatch(await written(), /c4nary/, `${cut} characters of it`);
  }
});

t.test(
  'D27: an injected secret is in the record of no WebSocket message, split over frames or sent back',
  async (t) => {
    const { url, sockets } = await rawService(t);
    const { gateway, written, handle } = await facing(t, url);
    const client = dialWebSocket(gateway.port, '/live', {
      headers: { 'daypass-handle': handle, host: 'web.localhost' },
    });
    client.on('error', () => {});
    t.teardown(() => client.terminate());
    await once(client, 'open');
    const heard = once(client, 'message');
    sockets[0]?.write(
      Buffer.concat([unmasked(0x01, `said ${INJECTED.slice(0, 9)}`), unmasked(0x80, INJECTED.slice(9))]),
    );
    await heard;
    client.send(`back ${INJECTED}`);
    client.ping(INJECTED);
    client.send(Buffer.from(INJECTED));
    const last = 'the last';
    client.send(last);
    while (!(await written()).includes(last)) await new Promise((resolve) => setImmediate(resolve));
    const all = await written();
    t.notMatch(all, /c4nary|T0ken/);
    t.match(all, /said \[redacted\].*back \[redacted\]/s);
  },
);
