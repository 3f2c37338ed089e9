import t, { type Test } from 'tap';
import { raw, startGateway } from '../http/gateway.js';
import { HOSTILE, ODD } from '../http/hostile-answers.js';
import { resetConnection } from '../http/over-tls.js';
import { bareService } from '../http/raw-service.js';
import { waitUntil } from '../support/wait.js';

/* What a service says in place of a 101 is read as any answer of it: by one reader, as strictly. */

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** Asks for a WebSocket at a service that answers with those bytes, in pieces of this size, and closes. */
async function asking(t: Test, answers: Readonly<Record<string, string>>, size: number) {
  const names = Object.keys(answers);
  const { url } = await bareService(t, async (received, socket) => {
    const name = names[Number(/^GET \/(\d+)/.exec(received.toString('latin1'))?.[1])] ?? '';
    const answer = Buffer.from(answers[name] ?? '', 'latin1');
    for (let at = 0; at < answer.byteLength; at += size) {
      socket.write(answer.subarray(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.end();
  });
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['GET /**', 'WS /**'] } } });
  const { handle } = gateway.issue('web');
  const ask = (name: string) =>
    raw(
      t,
      gateway.port,
      `GET /${names.indexOf(name)} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}\r\n`,
    ).ended;
  return { gateway, ask };
}

for (const size of [1_000_000, 7]) {
  t.test(`A6: what is no answer to a request is none to an opening, in pieces of ${size}`, async (t) => {
    const hostile = Object.fromEntries(Object.entries(HOSTILE).filter(([, { length }]) => length < 1_000 * size));
    const { gateway, ask } = await asking(t, hostile, size);
    for (const name of Object.keys(hostile)) {
      const answer = await ask(name);
      t.match(answer, /^HTTP\/1\.1 502 /, `${name}: ${JSON.stringify(answer.slice(0, 60))}`);
      t.notMatch(answer, /smuggled/, name);
    }
    const facts = (await gateway.events()).filter(({ kind }) => kind === 'result').map((event) => event.facts);
    t.equal(facts.filter(({ reason }) => reason === 'upstream_unavailable').length, Object.keys(hostile).length);
  });

  t.test(`A6: what is odd, and has one meaning, has the same in place of a 101, in pieces of ${size}`, async (t) => {
    const answers = Object.fromEntries(Object.entries(ODD).map(([name, [answer]]) => [name, answer]));
    const { ask } = await asking(t, answers, size);
    for (const [name, [, body]] of Object.entries(ODD)) {
      const answer = await ask(name);
      t.match(answer, /^HTTP\/1\.1 (?:200|204|304) /, name);
      t.equal(answer.slice(answer.indexOf('\r\n\r\n') + 4), body, name);
      t.notMatch(answer, /canary|transfer-encoding/i, name);
    }
  });
}

t.test('A6: a refusal that its end delimits, on a connection that is reset, is not whole', async (t) => {
  const { url } = await bareService(t, (_received, socket) =>
    socket.write('HTTP/1.1 403 Forbidden\r\n\r\nhello', () => resetConnection(socket)),
  );
  const gateway = await startGateway(t, { web: { url, roles: { viewer: ['GET /**', 'WS /**'] } } });
  const { handle } = gateway.issue('web');
  for (let times = 0; times < 50; times += 1) {
    const ask = `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}\r\n`;
    t.match(await raw(t, gateway.port, ask).ended, /^HTTP\/1\.1 502 /, `${times}`);
  }
});

t.test('a refusal whose service says half of it, and no more, is not waited for beyond its limit', async (t) => {
  const halves = [
    'HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhe',
    'HTTP/1.1 403 Forbidden\r\n\r\nhello',
    'HTTP/1.1 4',
  ];
  for (const half of halves) {
    const { url, sockets } = await bareService(t, (_received, socket) => socket.write(half));
    const upstreamLimits = { connect: 5_000, response: 300 };
    const gateway = await startGateway(
      t,
      { web: { url, roles: { viewer: ['GET /**', 'WS /**'] } } },
      { upstreamLimits },
    );
    const { handle } = gateway.issue('web');
    const ask = `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${UPGRADE}\r\n`;
    t.match(await raw(t, gateway.port, ask).ended, /^HTTP\/1\.1 504 (?![\s\S]*hello)/, half);
    await waitUntil('its connection is closed', () => sockets.every(({ closed }) => closed));
    t.match((await gateway.events()).at(-1)?.facts, { reason: 'upstream_unavailable' });
  }
});

t.test('a refusal that is longer than is passed on is none, however it is framed', async (t) => {
  const most = 64 * 1024;
  const framed = (size: number) => [
    `HTTP/1.1 403 Forbidden\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`,
    `HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n${'x'.repeat(size)}\r\n0\r\n\r\n`,
    `HTTP/1.1 403 Forbidden\r\n\r\n${'x'.repeat(size)}`,
  ];
  const answers = Object.fromEntries([...framed(most), ...framed(most + 1)].map((answer, at) => [`${at}`, answer]));
  const { ask } = await asking(t, answers, 10_000);
  for (const at of [0, 1, 2]) {
    const answer = await ask(`${at}`);
    t.match(answer, /^HTTP\/1\.1 403 /);
    t.ok(answer.endsWith(`\r\n\r\n${'x'.repeat(most)}`), `${at} whole`);
  }
  for (const at of [3, 4, 5]) t.match(await ask(`${at}`), /^HTTP\/1\.1 502 (?![\s\S]*xxx)/);
});
