import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { SoughtSecret } from '../../src/config/secret.js';
import { injected } from '../../src/http/credentials.js';
import { HttpUpstream } from '../../src/http/service/target.js';
import { waitUntil } from '../support/wait.js';
import { type Answer, startEcho } from './echo.js';
import { raw, startGateway } from './gateway.js';
import { dialWebSocket } from './over-tls.js';
import { rawService } from './raw-service.js';
import { closing, unmasked } from './ws-frames.js';

const TOKEN = 'c4nary-token-of-the-service';
const BASIC = `Basic ${Buffer.from('gateway:c4nary-password').toString('base64')}`;
const HEADERS = { authorization: `Bearer ${TOKEN}`, 'x-basic': BASIC, 'x-pin': '1234' };
/** As `policyOf` names them. */
const [BEARER_NAME, BASIC_NAME] = ['env SECRET_0', 'env SECRET_1'];

async function asked(t: Test, answer: Answer, requests = ['GET / HTTP/1.1\r\n']) {
  const echo = await startEcho(t, answer);
  const roles = { viewer: ['GET /', 'WS /live'] };
  const gateway = await startGateway(t, { web: { url: echo.url, headers: HEADERS, roles } });
  const whose = `Host: web.localhost\r\nDaypass-Handle: ${gateway.issue('web').handle}\r\n\r\n`;
  const client = raw(t, gateway.port, requests.map((line) => line + whose).join(''));
  const answered = await client.sees(/the end/);
  const events = await gateway.events();
  return { answered, seen: seenIn(events), events, gateway };
}

const seenIn = (events: readonly { kind: string; facts: Readonly<Record<string, unknown>> }[]) =>
  events.flatMap(({ kind, facts }) => (kind === 'notice' && facts.about === 'secret_seen' ? [facts.secret] : []));

t.test('a credential is looked for bare, and Basic as it is typed in', async (t) => {
  const forms = (value: string) => {
    const [of] = injected(
      new HttpUpstream({ href: 'http://x', origin: 'http://x', basePath: '' }, [['authorization', value]]),
    );
    return new SoughtSecret('env X', of?.forms ?? []).forms().map(String);
  };
  t.same(forms('Bearer abcdefgh'), ['abcdefgh']);
  t.same(forms('abcdefgh'), ['abcdefgh']);
  t.same(forms(`Basic ${btoa('me:c4nary')}`).sort(), [btoa('me:c4nary'), 'c4nary'].sort());
  t.same(forms(`basic ${btoa('gateway:pw')}`).sort(), [btoa('gateway:pw'), 'gateway:pw'].sort());
  t.same(forms('Signature a="b", c="d"'), ['Signature a="b", c="d"']);
  t.same(forms('Bearer abc'), ['Bearer abc']);
});

t.test(
  'a service that answers with what was injected is told of: in the body, the head, once per session',
  async (t) => {
    for (const [where, answer] of [
      ['body', (_, res) => res.end(`token=${TOKEN}, the end`)],
      ['head', (_, res) => res.setHeader('x-debug', `Bearer ${TOKEN}`).end('the end')],
      ['error', (_, res) => res.writeHead(500).end(`{"bearer":"${TOKEN}","the end":1}`)],
    ] satisfies readonly (readonly [string, Answer])[]) {
      const { answered, seen, events, gateway } = await asked(t, answer, ['GET / HTTP/1.1\r\n', 'GET / HTTP/1.1\r\n']);
      t.ok(answered.includes(TOKEN), `${where}: the answer is the service's, and passes as it is`);
      t.same(seen, [BEARER_NAME], where);
      t.notMatch(JSON.stringify(events), /c4nary/, 'the record has its name alone');
      const lines = gateway.lines.filter((line) => line.includes('injected towards it'));
      t.match(
        lines.map((line) => JSON.parse(line)),
        [{ level: 40, service: 'web', principal: 'alice', secret: BEARER_NAME }],
      );
      t.notMatch(gateway.lines.join(''), /c4nary/);
      const counted = await gateway.metrics.registry.getSingleMetric('daypass_secrets_seen_total')?.get();
      t.match(counted?.values, [{ value: 1, labels: { service: 'web' } }]);
    }
  },
);

t.test('the password of Basic is a secret of its own, and what is too short is none', async (t) => {
  const { seen } = await asked(t, (_, res) => res.end('1234 c4nary-password the end'));
  t.same(seen, [BASIC_NAME]);
});

t.test('a secret is seen across the chunks of a body', async (t) => {
  const { seen } = await asked(t, (_, res) => {
    const parts = [...`x${TOKEN}`, ', the end'];
    const next = () => {
      const part = parts.shift();
      if (part === undefined) res.end();
      else res.write(part, () => setTimeout(next, 1));
    };
    next();
  });
  t.same(seen, [BEARER_NAME]);
});

t.test('what the service did not say is not told of', async (t) => {
  const { seen, events } = await asked(t, (_, res) => res.end(`${TOKEN.slice(1)} ${TOKEN.slice(0, -1)} the end`));
  t.same(seen, []);
  t.notOk(events.some(({ kind }) => kind === 'notice'));
});

t.test('a body that is packed is looked through as what it is, however long', async (t) => {
  for (const [coding, pack] of [
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
  ] as const) {
    for (const before of [1, 200_000]) {
      const text = randomBytes(before).toString('hex') + TOKEN;
      const { gateway } = await asked(t, (_, res) => {
        res.setHeader('content-encoding', coding).setHeader('x-mark', 'the end').end(pack(text));
      });
      const seen = async () => seenIn(await gateway.events()).length > 0;
      await waitUntil(`${coding}, ${before}`, seen);
      t.same(seenIn(await gateway.events()), [BEARER_NAME]);
    }
  }
});

t.test('a body that cannot be unpacked cannot be looked through, which the record says once', async (t) => {
  const gzipped: Answer = (_, res) => {
    res
      .setHeader('content-encoding', 'gzip, gzip')
      .setHeader('x-mark', 'the end')
      .end(gzipSync(gzipSync(TOKEN)));
  };
  const { seen, events } = await asked(t, gzipped, ['GET / HTTP/1.1\r\n', 'GET / HTTP/1.1\r\n']);
  t.same(seen, []);
  t.match(
    events.filter(({ kind }) => kind === 'notice'),
    [{ facts: { about: 'encoded_body' } }],
  );
  t.equal(events.filter(({ kind }) => kind === 'notice').length, 1);
});

t.test(
  'a WebSocket message is looked through across its frames, and so are control frames and the opening',
  async (t) => {
    const half = TOKEN.slice(0, 9);
    for (const [what, bytes] of [
      ['one message', unmasked(0x81, `x ${TOKEN} y`)],
      [
        'fragments with a ping between',
        Buffer.concat([unmasked(0x01, half), unmasked(0x89, 'hi'), unmasked(0x80, TOKEN.slice(9))]),
      ],
      ['a ping', unmasked(0x89, TOKEN)],
      ['a close', unmasked(0x88, closing(1000, TOKEN))],
    ] as const) {
      const { url, sockets } = await rawService(t);
      const gateway = await startGateway(t, { web: { url, headers: HEADERS, roles: { viewer: ['WS /live'] } } });
      const headers = { 'daypass-handle': gateway.issue('web').handle, host: 'web.localhost' };
      const client = dialWebSocket(gateway.port, '/live', { headers });
      client.on('error', () => {});
      t.teardown(() => client.terminate());
      await once(client, 'open');
      const heard = Promise.race(['message', 'ping', 'close'].map((event) => once(client, event)));
      sockets[0]?.write(bytes);
      await heard;
      const events = await gateway.events();
      t.same(seenIn(events), [BEARER_NAME], what);
    }
  },
);

t.test('what a service says instead of opening a WebSocket is looked through', async (t) => {
  const echo = await startEcho(t, (_, res) => res.writeHead(403).end(`no: ${TOKEN}`));
  const gateway = await startGateway(t, { web: { url: echo.url, headers: HEADERS, roles: { viewer: ['WS /live'] } } });
  const headers = { 'daypass-handle': gateway.issue('web').handle, host: 'web.localhost' };
  const client = dialWebSocket(gateway.port, '/live', { headers });
  client.on('error', () => {});
  await once(client, 'unexpected-response');
  t.same(seenIn(await gateway.events()), [BEARER_NAME]);
});
