import { once } from 'node:events';
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync, inflateRawSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { lockLedger, raw, startGateway, untilWaiting } from '../http/gateway.js';
import { freeUnpackings, MOST_UNPACKINGS } from '../http/unpackings.js';
import { waitUntil } from '../support/wait.js';

const FORM = 'Content-Type: application/x-www-form-urlencoded\r\n';
const PARTS = 'Content-Type: multipart/form-data; boundary=b\r\n';
const JSON_TYPE = 'Content-Type: application/json\r\n';
const part = (value: string) => `--b\r\nContent-Disposition: form-data; name="_method"\r\n\r\n${value}\r\n--b--\r\n`;

const ROLES = ['POST /orders/:id<int>', { route: 'PATCH /orders/:id<int>', body: '2KiB', rate: '3/h' }];

async function serviceWith(t: Test, roles: readonly unknown[] = ROLES, mode: 'strict' | 'buffered' = 'buffered') {
  const echo = await startEcho(t);
  const texts = { web: { url: echo.url, roles: { viewer: roles } } };
  const gateway = await startGateway(t, texts, { mode });
  const { id, handle } = gateway.issue('web');
  const head = (lines: string) =>
    `POST /orders/7 HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n${lines}\r\n`;
  const whole = (type: string, body: string) => head(`${type}Content-Length: ${body.length}\r\n`) + body;
  const ask = (type: string, body: string) => raw(t, gateway.port, whole(type, body)).ended;
  /** What the service has of bodies. */
  const bodies = () => echo.connections.map(({ bytes }) => bytes.slice(bytes.indexOf('\r\n\r\n') + 4)).join('');
  return { echo, gateway, id, head, ask, bodies };
}

t.test('A1: what a form asks for in place of POST is decided on as that, before it goes on', async (t) => {
  const { gateway, head, ask, bodies } = await serviceWith(t);
  for (const [type, body] of [
    [FORM, '_method=delete'],
    [FORM, `a=${'x'.repeat(70_000)}&_method=delete`],
    [FORM, '%5fmethod=DELETE&_method=patch'],
    [FORM, 'x-tunneled-method=delete'], // Catalyst
    [FORM, 'CAmelBeanMethodName=wipe'], // Camel: another method of a bean
    [FORM, 'alf_method=delete'], // Alfresco
    [FORM, 'atg-rest-http-method=DELETE'],
    [PARTS, part('delete').replace('_method', 'ps_method')], // PrestaShop
    [PARTS, part('delete').replace('_method', 'x-tunneled-method')],
    ['', '_method=delete'],
    ['Content-Type: application/x-www-form-urlencoded, text/plain\r\n', '_method=delete'],
    ['Content-Type: multipart/form-data\r\n', '_method=delete'],
    ['Content-Type: text/plain; x=/json\r\n', '{"_METHOD":"delete"}'],
    [PARTS, '--b\r\nContent-ID: _method\r\n\r\ndelete\r\n--b--\r\n'],
    [FORM, '_method=unlink'],
    [PARTS, part('delete')],
    [JSON_TYPE, '{"_method":"delete"}'],
    [`${FORM}Content-Encoding: gzip\r\n`, 'packed'],
  ] as const) {
    const answer = await ask(type, body);
    t.match(answer, /^HTTP\/1\.1 403 [\s\S]*out_of_scope[\s\S]*in its place/, body.slice(0, 40));
    const chunks = [...body.matchAll(/[\s\S]{1,1000}/g)].map(
      ([piece]) => `${piece.length.toString(16)}\r\n${piece}\r\n`,
    );
    const chunked = `${head(`${type}Transfer-Encoding: chunked\r\n`)}${chunks.join('')}0\r\n\r\n`;
    t.match(await raw(t, gateway.port, chunked).ended, /^HTTP\/1\.1 403 /, `${body.slice(0, 40)}, in chunks`);
  }
  t.notMatch(bodies(), /delete|unlink|wipe|packed/i, 'nothing of it has arrived');
  t.notMatch(bodies(), /^0\r\n\r\n/m, 'no body in chunks was ended');
  const events = await gateway.events();
  const denied = events.filter(({ kind, facts }) => kind === 'action' && facts.outcome === 'deny');
  t.equal(denied.length, 36);
  for (const { facts } of denied) {
    t.match(facts, { verb: /^(?:DELETE|PUT)$/, on: ['/orders/7'], reason: 'out_of_scope' });
    t.match(events.find(({ seq }) => seq === facts.of)?.facts, { verb: 'POST', outcome: 'allow' });
    t.ok(
      events.some((one) => one.kind === 'result' && one.facts.of === facts.of && one.facts.reason === 'out_of_scope'),
    );
  }
});

t.test('A1: a form asks in place of PATCH, too', async (t) => {
  const { gateway, head, bodies } = await serviceWith(t);
  const patch = head(`${FORM}Content-Length: 14\r\n`).replace('POST', 'PATCH');
  t.match(await raw(t, gateway.port, `${patch}_method=delete`).ended, /^HTTP\/1\.1 403 /);
  t.equal(bodies(), '');
});

t.test(
  'A1: what may be asking goes on with the rest of what it asks for: some carry out what has come of a body',
  async (t) => {
    const { echo, gateway, head, bodies } = await serviceWith(t);
    for (const [type, first] of [
      [FORM, 'a=b&_method=delete'],
      [PARTS, '--b\r\nContent-Disposition: form-data; name="_method"\r\n\r\ndelete'],
      [JSON_TYPE, '{"_method":"delete'],
    ] as const) {
      const { socket, ended } = raw(t, gateway.port, head(`${type}Content-Length: 90000\r\n`));
      await echo.request();
      socket.end(first);
      await ended;
    }
    const { socket, ended } = raw(t, gateway.port, head(`${FORM}Content-Length: 21\r\n`));
    for (const piece of ['a=b&_met', 'hod', '=', 'pat', 'ch', '&c']) {
      socket.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.write('=d');
    t.match(await ended, /^HTTP\/1\.1 200 /);
    t.notMatch(bodies(), 'delete');
    t.match(bodies(), /a=b&_method=patch&c=d$/);
  },
);

t.test('A1: what a form asks for and may have goes on, within the limits of its rule', async (t) => {
  const { gateway, ask, bodies } = await serviceWith(t);
  t.match(await ask(FORM, 'a=1&_method=patch&b=2'), /^HTTP\/1\.1 200 /);
  t.match(await ask(PARTS, part('patch')), /^HTTP\/1\.1 200 /);
  t.match(await ask(FORM, 'payment_method=card'), /^HTTP\/1\.1 200 /);
  t.match(await ask(FORM, '_method=post'), /^HTTP\/1\.1 200 /);
  t.match(await ask(FORM, `_method=patch&a=${'x'.repeat(3_000)}`), /^HTTP\/1\.1 413 /, 'the size of PATCH');
  t.match(await ask(FORM, '_method=patch'), /^HTTP\/1\.1 200 /);
  t.match(await ask(FORM, '_method=patch'), /^HTTP\/1\.1 429 /, 'the rate of PATCH');
  t.match(bodies(), /a=1&_method=patch&b=2/);
  const events = await gateway.events();
  const patches = events.filter(({ facts }) => facts.verb === 'PATCH' && facts.outcome === 'allow');
  t.equal(patches.length, 3);
  for (const { seq, facts } of patches) t.ok(Number(facts.of) < seq);
});

t.test('A1: the size that is allowed of what a form asks for holds for chunks, too', async (t) => {
  const { gateway, head, bodies } = await serviceWith(t);
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
  const chunks = chunk('_method=patch&a=') + chunk('x'.repeat(2_048)) + chunk('the end');
  const chunked = `${head(`${FORM}Transfer-Encoding: chunked\r\n`)}${chunks}0\r\n\r\n`;
  t.match(await raw(t, gateway.port, chunked).ended, /^HTTP\/1\.1 413 /);
  t.notMatch(bodies(), /the end/);
});

t.test('A1: who may have an event stream alone has no page by asking for it with a form', async (t) => {
  const { gateway, head, bodies } = await serviceWith(t, ['POST /orders/:id<int>', 'SSE /orders/:id<int>']);
  const body = '_method=get';
  const asked = head(`${FORM}Accept: text/event-stream\r\nContent-Length: ${body.length}\r\n`) + body;
  t.match(await raw(t, gateway.port, asked).ended, /^HTTP\/1\.1 403 /);
  t.equal(bodies(), '');
});

t.test('A1: in a strict record it is written before the form goes on, and what comes behind it waits', async (t) => {
  const { echo, gateway, head, bodies } = await serviceWith(t, ROLES, 'strict');
  const first = raw(t, gateway.port, head(`${FORM}Transfer-Encoding: chunked\r\n`));
  await echo.request();
  const release = await lockLedger(gateway);
  first.socket.write('d\r\n_method=patch\r\n4\r\n&a=1\r\n0\r\n\r\n');
  await untilWaiting(gateway);
  t.equal(bodies(), '');
  await release();
  t.match(await first.ended, /^HTTP\/1\.1 200 /);
  t.match(bodies(), /_method=patch[\s\S]*&a=1[\s\S]*0\r\n\r\n$/);
});

t.test('what has come while the record was written goes on behind what waited, each byte once', async (t) => {
  const { echo, gateway, head, bodies } = await serviceWith(t, ROLES, 'strict');
  const first = raw(t, gateway.port, head(`${FORM}Content-Length: 24\r\n`));
  await echo.request();
  const release = await lockLedger(gateway);
  first.socket.write('_method=patch&');
  await untilWaiting(gateway);
  first.socket.write('a=1&');
  await new Promise((resolve) => setTimeout(resolve, 100));
  first.socket.write('b=2');
  await release();
  first.socket.write('&c=');
  t.match(await first.ended, /^HTTP\/1\.1 200 /);
  t.equal(bodies(), '_method=patch&a=1&b=2&c=');
});

t.test('of a session that is revoked while what a form asks for waits for its record nothing goes on', async (t) => {
  const { echo, gateway, id, head, bodies } = await serviceWith(t, ROLES, 'strict');
  const first = raw(t, gateway.port, head(`${FORM}Content-Length: 24\r\n`));
  await echo.request();
  const release = await lockLedger(gateway);
  first.socket.write('_method=patch&a=1&b=2&c=');
  await untilWaiting(gateway);
  gateway.revoke(id);
  t.match(await first.ended, /^HTTP\/1\.1 401 [\s\S]*revoked/);
  await release();
  await gateway.events();
  t.equal(bodies(), '');
});

t.test('a client that writes all of its body before it reads hears that what it asks for is not allowed', async (t) => {
  const { gateway, head } = await serviceWith(t);
  const length = 8 * 1024 * 1024;
  const { socket, ended } = raw(t, gateway.port, head(`${FORM}Content-Length: ${length}\r\n`));
  socket.pause();
  socket.write(`_method=delete&a=${'x'.repeat(length - 17)}`, () => socket.resume());
  t.match(await ended, /^HTTP\/1\.1 403 /);
});

t.test('A1: a policy that is reloaded amid a form holds for what it asks for, too', async (t) => {
  const { echo, gateway, head, bodies } = await serviceWith(t);
  const first = raw(t, gateway.port, head(`${FORM}Transfer-Encoding: chunked\r\n`));
  first.socket.write('e\r\n_method=patch&\r\n');
  await waitUntil('it has arrived', () => echo.requests.some(({ body }) => body !== ''));
  gateway.reload('web', { url: echo.url, roles: { viewer: ['POST /orders/:id<int>'] } });
  t.match(await first.ended, /^HTTP\/1\.1 403 /);
  t.notMatch(bodies(), /^0\r\n\r\n/m);
});

t.test('A1: what a form asks for is held to the size that a policy reloaded amid it gives', async (t) => {
  const { echo, gateway, head, bodies } = await serviceWith(t);
  const first = raw(t, gateway.port, head(`${FORM}Transfer-Encoding: chunked\r\n`));
  first.socket.write('e\r\n_method=patch&\r\n');
  await waitUntil('it has arrived', () => echo.requests.some(({ body }) => body !== ''));
  const narrower = { route: 'PATCH /orders/:id<int>', body: '32B' };
  gateway.reload('web', { url: echo.url, roles: { viewer: ['POST /orders/:id<int>', narrower] } });
  first.socket.write(`40\r\n${'x'.repeat(64)}\r\n0\r\n\r\n`);
  t.match(await first.ended, /^HTTP\/1\.1 413 /);
  t.notMatch(bodies(), /xx/);
});

/** To who knows of no header 156 blanks; to others a header, and what it stands before. */
const STORED = Buffer.concat([Buffer.from('789c0063ff', 'hex'), Buffer.alloc(156, ' ')]);
const QUICK = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };
const latin = (bytes: Buffer) => bytes.toString('latin1');

t.test('A1: what a packed body asks for is decided on, whether its service unpacks it or not', async (t) => {
  const { gateway, head, ask, bodies } = await serviceWith(t);
  const json = '{"_method":"delete"}';
  t.equal(
    inflateRawSync(Buffer.concat([STORED, deflateRawSync(json)]))
      .toString()
      .trim(),
    json,
  );
  const long = `{"a":"${'x'.repeat(300_000)}","_method":"delete"}`;
  for (const [type, coding, body, about] of [
    [JSON_TYPE, 'gzip', gzipSync(json), 'Express'],
    [JSON_TYPE, 'x-gzip', gzipSync(json), 'Express'],
    [JSON_TYPE, 'br', brotliCompressSync(json), 'Express'],
    [JSON_TYPE, 'gzip', gzipSync(long, { level: 0 }), 'behind much'],
    [JSON_TYPE, 'gzip', Buffer.concat([gzipSync('{"a":'), gzipSync('1,"_method":"delete"}')]), 'in members'],
    [JSON_TYPE, 'gzip', Buffer.from(json), 'Laravel takes no heed of what is said of it'],
    [JSON_TYPE, 'aws-chunked', Buffer.from(json), 'nobody unpacks that'],
    [JSON_TYPE, 'deflate', deflateSync(json), 'Express'],
    [JSON_TYPE, 'deflate', deflateRawSync('{}'), 'some have no header'],
    [JSON_TYPE, 'deflate', Buffer.concat([STORED, deflateRawSync(json)]), 'it may be two things'],
    [JSON_TYPE, 'gzip', Buffer.concat([gzipSync('{}'), Buffer.alloc(2), gzipSync(json)]), 'Python reads on'],
    [JSON_TYPE, 'gzip, gzip', gzipSync(gzipSync(json)), 'twice'],
    [JSON_TYPE, 'zstd', Buffer.from('x'), 'what is not known here'],
    [JSON_TYPE, 'gzip', gzipSync(Buffer.alloc(8 * 1024 * 1024)), 'out of proportion'],
    [FORM, 'gzip', gzipSync('a=b&_method=delete'), 'Express'],
    [FORM, 'gzip', Buffer.from('_method=delete'), 'PHP'],
    [PARTS, 'gzip', gzipSync(part('delete')), 'whoever unpacks it'],
  ] as const) {
    const lines = `${type}Content-Encoding: ${coding}\r\n`;
    const whole = `${head(`${lines}Content-Length: ${body.length}\r\n`)}${latin(body)}`;
    const answer = await raw(t, gateway.port, Buffer.from(whole, 'latin1')).ended;
    t.match(answer, /^HTTP\/1\.1 403 [\s\S]*out_of_scope[\s\S]*in its place/, `${coding}: ${about}`);
    const { socket, ended } = raw(t, gateway.port, head(`${lines}Transfer-Encoding: chunked\r\n`));
    for (let at = 0; at < body.length; at += 1_000) {
      const piece = body.subarray(at, at + 1_000);
      socket.write(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]));
    }
    socket.write('0\r\n\r\n');
    t.match(await ended, /^HTTP\/1\.1 403 /, `${coding}: ${about}, in chunks`);
  }
  t.notMatch(bodies(), /^0\r\n\r\n/m, 'no body in chunks was ended');
  const unread = await ask(`${JSON_TYPE}Content-Encoding: zstd\r\n`, 'x');
  t.match(unread, /may ask for PUT in its place: what it asks for cannot be told/, 'nothing is said that is not known');
});

t.test('what is packed and asks for nothing else passes as it is', async (t) => {
  const { gateway, head, echo } = await serviceWith(t);
  const rows = Array.from({ length: 60_000 }, (_, n) => `{"index":{}}\n{"n":${n},"root":${Math.sqrt(n)}}`).join('\n');
  for (const [coding, body] of [
    ['gzip', gzipSync('{}')],
    ['gzip', gzipSync(rows)],
    ['br', brotliCompressSync(rows, QUICK)],
    ['deflate', deflateSync(rows)],
    ['gzip', gzipSync('{"_method":"post"}')],
  ] as const) {
    const lines = `Content-Type: application/x-ndjson\r\nContent-Encoding: ${coding}\r\n`;
    const whole = `${head(`${lines}Content-Length: ${body.length}\r\n`)}${latin(body)}`;
    t.match(await raw(t, gateway.port, Buffer.from(whole, 'latin1')).ended, /^HTTP\/1\.1 200 /);
    t.ok(echo.requests.at(-1)?.body === latin(body), `${body.length} bytes`);
  }
  const before = echo.requests.length;
  const patch = gzipSync('{"_method":"patch"}');
  const asked = head(`${JSON_TYPE}Content-Encoding: gzip\r\nContent-Length: ${patch.length}\r\n`) + latin(patch);
  t.match(await raw(t, gateway.port, Buffer.from(asked, 'latin1')).ended, /^HTTP\/1\.1 200 /);
  t.equal(echo.requests.length, before + 1);
  const actions = (await gateway.events()).filter(({ kind }) => kind === 'action');
  t.match(actions.at(-1)?.facts, { verb: 'PATCH', outcome: 'allow', of: actions.at(-2)?.seq });
});

t.test('A1: a packed body may ask a hundred thousand times', async (t) => {
  const all = ['POST /**', 'PUT /**', 'PATCH /**', 'DELETE /**'];
  const { gateway, head, bodies } = await serviceWith(t, all);
  const words = Array.from({ length: 3_000 }, (_, n) => `_method=A${n.toString(26).replace(/\d/g, 'Z')}&`).join('');
  for (const [asked, status] of [
    ['_method=1&'.repeat(100_000), 200],
    ['_method=patch&'.repeat(70_000), 200],
    [words, 403],
    [`${'_method=1&'.repeat(90_000)}_method=link`, 403],
  ] as const) {
    const body = gzipSync(asked);
    const whole = head(`${FORM}Content-Encoding: gzip\r\nContent-Length: ${body.length}\r\n`) + latin(body);
    const answer = await raw(t, gateway.port, Buffer.from(whole, 'latin1')).ended;
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), asked.slice(0, 20));
    t.equal(bodies().endsWith(latin(body)), status === 200);
  }
});

t.test('of a packed body no more is kept than what it asks for may take', async (t) => {
  const { echo, gateway, head, bodies } = await serviceWith(t);
  const nothing = Buffer.concat(Array.from({ length: 20_000 }, () => gzipSync('')));
  const lines = `${FORM}Content-Encoding: gzip\r\nContent-Length: 1000000\r\n`;
  const kept = raw(t, gateway.port, head(lines));
  await echo.request();
  kept.socket.write(gzipSync('a=b&_method=pat'));
  kept.socket.write(nothing);
  t.match(await kept.ended, /^HTTP\/1\.1 403 [\s\S]*may ask for PUT in its place/);
  t.equal(bodies(), '');
});

t.test('A1: what was asked for before a packed body breaks is decided on, and what comes behind goes on', async (t) => {
  const all = ['POST /**', 'PUT /**', 'PATCH /**', 'DELETE /**'];
  const { echo, gateway, head, bodies } = await serviceWith(t, all);
  const broken = (value: string) => Buffer.concat([gzipSync(`_method=${value}`), Buffer.alloc(8)]);
  const lines = `${FORM}Content-Encoding: gzip\r\nContent-Length: 100000\r\n`;
  const link = raw(t, gateway.port, head(lines));
  await echo.request();
  link.socket.write(broken('link&'));
  t.match(await link.ended, /^HTTP\/1\.1 403 [\s\S]*may ask for LINK in its place/);
  const patch = raw(t, gateway.port, head(lines));
  patch.socket.write(broken('pat'));
  await waitUntil('it has gone on', () => bodies() === latin(broken('pat')));
});

t.test('what was taken for a packed body is given back however it ends', async (t) => {
  const { echo, gateway, id, head } = await serviceWith(t);
  const body = gzipSync(Array.from({ length: 20_000 }, (_, n) => Math.sqrt(n)).join());
  const lines = head(`${JSON_TYPE}Content-Encoding: br\r\nContent-Length: ${body.length}\r\n`);
  for (let times = 0; times < 40; times += 1) {
    const { socket, ended } = raw(t, gateway.port, lines);
    socket.write(brotliCompressSync('{"a":1').subarray(0, 4));
    await echo.request();
    if (times % 2 === 0) socket.destroy();
    else socket.write(body);
    await (times % 2 === 0 ? once(socket, 'close') : ended);
  }
  const last = raw(t, gateway.port, lines);
  last.socket.write(brotliCompressSync('{"a":1').subarray(0, 4));
  await echo.request();
  gateway.revoke(id);
  await last.ended;
  await waitUntil('all is given back', () => freeUnpackings() === MOST_UNPACKINGS);
});
