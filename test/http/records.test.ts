import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { BodyTap } from '../../src/http/body/tap.js';
import { DigestLost } from '../../src/http/hashing/digest.js';
import { lasting } from '../../src/http/memory/reading.js';
import { type Answer, startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');

t.test('a tap knows beginning, size and digest however the bytes are cut', async (t) => {
  const bytes = Buffer.from('0123456789abcdef');
  for (const most of [0, 1, 8, 16, 100]) {
    for (const size of [1, 3, 8, 16]) {
      const tap = new BodyTap(most);
      for (let at = 0; at < bytes.length; at += size) tap.push(lasting(bytes.subarray(at, at + size)));
      const about = `${most} kept, in pieces of ${size}`;
      t.equal(tap.sample.toString(), bytes.subarray(0, most).toString(), about);
      t.same([tap.bytes, tap.isWhole, tap.sha256()], [16, most >= 16, sha256(bytes)], about);
      tap.push(lasting(bytes));
      t.same([tap.bytes, tap.sha256()], [16, sha256(bytes)], 'what comes after the digest is not heard');
    }
  }
  t.equal(new BodyTap(8).sha256(), null, 'of nothing there is no digest');
});

/** One request and the result that is recorded of it. */
async function exchange(t: Test, role: { bodies?: string }, request: string | Buffer, answer: Answer) {
  const echo = await startEcho(t, answer);
  const recording = role.bodies === undefined ? {} : { recording: role };
  const viewer = { allow: ['GET /', 'POST /'], ...recording };
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer } } });
  const head = `Host: web.localhost\r\nDaypass-Handle: ${gateway.issue('web').handle}\r\nConnection: close\r\n`;
  const asked = request.toString('latin1').replace('\r\n', `\r\n${head}`);
  await raw(t, gateway.port, Buffer.from(asked, 'latin1')).ended;
  return (await gateway.events()).find(({ kind }) => kind === 'result');
}

const FORM = 'a=1&password=canary';
const POST = `POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${FORM.length}\r\n\r\n${FORM}`;
const GET = 'GET / HTTP/1.1\r\n\r\n';
const json = (res: Parameters<Answer>[1]) => res.setHeader('content-type', 'application/json');

t.test('a result holds the digests of both bodies, and how long each part of it took', async (t) => {
  const long = 'y'.repeat(100_000);
  const result = await exchange(t, {}, POST, (req, res) => {
    req.resume();
    req.once('end', () => setTimeout(() => res.end(long), 60));
  });
  t.match(result?.facts, {
    status: '200',
    bytesIn: FORM.length,
    bytesOut: long.length,
    requestSha256: sha256(FORM),
    responseSha256: sha256(long),
    queueMs: Number,
    firstByteMs: Number,
    ms: Number,
  });
  const { queueMs, firstByteMs, ms } = result?.facts ?? {};
  t.ok(Number(queueMs) >= 0 && Number(firstByteMs) >= 50 && Number(ms) >= Number(firstByteMs));
  t.same(Object.keys(result?.payload ?? {}).sort(), ['text', 'type', 'whole'], 'of the response no part of the body');
  t.equal(result?.payload?.text, 'a=1&password=[redacted]');
});

t.test('what has no body has no digest', async (t) => {
  const result = await exchange(t, { bodies: '1KiB' }, GET, (_req, res) => res.writeHead(204).end());
  t.same([result?.facts.requestSha256, result?.facts.responseSha256, result?.payload], [undefined, undefined, null]);
});

t.test('with bodies: the beginnings of request and response are recorded, redacted', async (t) => {
  const answer = JSON.stringify({ token: 'canary', text: 'z'.repeat(3_000) });
  const result = await exchange(t, { bodies: '1KiB' }, POST, (req, res) => {
    json(res);
    req.resume();
    req.once('end', () => res.end(answer));
  });
  t.match(result?.payload, {
    text: 'a=1&password=[redacted]',
    whole: true,
    response: { text: /^\{"token":"\[redacted\]","text":"z+$/, type: 'application/json', whole: false },
  });
  t.equal(result?.facts.responseSha256, sha256(answer), 'the digest is that of the whole');
  t.notMatch(JSON.stringify(result), /canary/);
});

t.test(
  'of bodies that are packed the beginnings are recorded as what they are, their digests as they passed',
  async (t) => {
    const answer = JSON.stringify({ token: 'canary', text: 'z'.repeat(3_000) });
    const asked = gzipSync(FORM);
    const request = [
      'POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n',
      `Content-Encoding: gzip\r\nContent-Length: ${asked.length}\r\n\r\n`,
    ].join('');
    for (const [encoding, pack] of [
      ['gzip', gzipSync],
      ['br', brotliCompressSync],
      ['deflate', deflateSync],
    ] as const) {
      const packed = pack(answer);
      const result = await exchange(t, { bodies: '1KiB' }, Buffer.concat([Buffer.from(request), asked]), (req, res) => {
        json(res).setHeader('content-encoding', encoding);
        req.resume();
        req.once('end', () => res.end(packed));
      });
      t.match(result?.payload, {
        text: 'a=1&password=[redacted]',
        coding: 'gzip',
        whole: true,
        response: { text: /^\{"token":"\[redacted\]","text":"z+$/, coding: encoding, whole: false },
      });
      t.equal(result?.facts.responseSha256, sha256(packed));
      t.notMatch(JSON.stringify(result), /canary/);
    }
  },
);

t.test('bodies that cannot be unpacked, or are no UTF-8, are recorded by their digests alone', async (t) => {
  for (const [bytes, encoding] of [
    [gzipSync(gzipSync('{"token":"canary"}')), 'gzip, gzip'],
    [gzipSync('{"token":"canary"}').subarray(3), 'gzip'],
    [Buffer.from([0xff, 0x00, 0x01]), 'identity'],
  ] as const) {
    const result = await exchange(t, { bodies: '64KiB' }, GET, (_req, res) => {
      json(res);
      res.setHeader('content-encoding', encoding);
      res.end(bytes);
    });
    t.equal(result?.facts.responseSha256, sha256(bytes));
    t.match(result?.payload, { response: { sha256: sha256(bytes), bytes: bytes.length }, text: undefined });
    t.notMatch(JSON.stringify(result), /"text"/);
  }
});

t.test('of a body that was cut off the digest is of what passed', async (t) => {
  const result = await exchange(t, {}, GET, (_req, res) => {
    res.write('half');
    setTimeout(() => res.socket?.destroy(), 50);
  });
  t.match(result?.facts, { reason: 'upstream_unavailable', bytesOut: 4, responseSha256: sha256('half') });
});

t.test('the digests of many long bodies at a time are their own, whoever works them out, and when', async (t) => {
  const bodyOf = (n: number) => Buffer.alloc(20_000 + ((n * 7_919) % 150_000), `${n}-`);
  const echo = await startEcho(t, (req, res) => {
    const n = Number(req.url?.slice(1));
    req.resume();
    req.once('end', () => res.end(bodyOf(n + 1)));
  });
  const gateway = await startGateway(
    t,
    { web: { url: echo.url, roles: { viewer: ['GET /**', 'POST /**'] } } },
    { mode: 'buffered' },
  );
  const { handle } = gateway.issue('web');
  const agent = new Agent({ keepAlive: true, maxSockets: 6 });
  t.teardown(() => agent.destroy());
  const headers = { host: 'web.localhost', 'daypass-handle': handle };
  const ask = (n: number) =>
    new Promise<Buffer>((resolve, reject) => {
      const method = n % 3 === 0 ? 'POST' : 'GET';
      const asked = request({ port: gateway.port, host: '127.0.0.1', path: `/${n}`, method, headers, agent });
      asked.once('error', reject);
      asked.once('response', (answer) => answer.toArray().then((chunks) => resolve(Buffer.concat(chunks)), reject));
      asked.end(n % 3 === 0 ? bodyOf(n) : undefined);
    });
  const numbers = Array.from({ length: 240 }, (_, n) => n);
  const answers = await Promise.all(numbers.map(ask));
  for (const n of numbers) t.ok(answers[n]?.equals(bodyOf(n + 1)), `the answer to ${n}`);
  const events = await gateway.events();
  const asked = new Map(events.filter(({ kind }) => kind === 'action').map(({ seq, facts }) => [seq, facts.on?.[0]]));
  const results = events.filter(({ kind }) => kind === 'result');
  t.equal(results.length, numbers.length);
  for (const { facts } of results) {
    const n = Number(asked.get(facts.of ?? 0)?.slice(1));
    t.equal(facts.responseSha256, sha256(bodyOf(n + 1)), `${n}`);
    t.equal(facts.requestSha256, n % 3 === 0 ? sha256(bodyOf(n)) : undefined, `${n}`);
  }
});

t.test('a body that cannot be recorded does not pass: its exchange ends, and nobody else is blamed', async (t) => {
  const echo = await startEcho(t, (req, res) => {
    res.setHeader('content-length', 100_000);
    res.write('z'.repeat(50_000));
    setTimeout(() => res.end('z'.repeat(50_000)), 50);
    req.resume();
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**', 'POST /**'] } } });
  const head = `Host: web.localhost\r\nDaypass-Handle: ${gateway.issue('web').handle}\r\nConnection: close\r\n`;
  const { push } = BodyTap.prototype;
  t.teardown(() => Object.assign(BodyTap.prototype, { push }));
  Object.assign(BodyTap.prototype, {
    push() {
      throw new DigestLost();
    },
  });
  const sent = await raw(t, gateway.port, `POST /up HTTP/1.1\r\n${head}Content-Length: 5\r\n\r\nhello`).ended;
  t.match(sent, /^HTTP\/1\.1 503 [\s\S]*"reason":"recorder_unavailable"/);
  const got = await raw(t, gateway.port, `GET /down HTTP/1.1\r\n${head}\r\n`).ended;
  t.match(got, /^HTTP\/1\.1 200 OK\r\n[^z]*\r\n\r\n$/, 'a transfer that breaks off');
  const results = (await gateway.events()).filter(({ kind }) => kind === 'result');
  t.same(
    results.map(({ facts }) => facts.reason),
    ['recorder_unavailable', 'recorder_unavailable'],
  );
});
