import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type HttpProxies, ListedProxies } from '../../src/config/proxies.js';
import { takeProxyHeader } from '../../src/gate/proxied.js';
import { MOST_HEADER, readProxyHeader } from '../../src/gate/proxy-header.js';
import type { Header } from '../../src/http/action.js';
import { clientOf, noteWhence, protoOf } from '../../src/http/whence.js';
import { startEcho } from '../http/echo.js';
import { listen, rawOver, startGateway } from '../http/gateway.js';
import { selfSigned } from '../support/certificate.js';
import { curl } from '../support/commands.js';
import { addresses, binaryHeader, PROXY, startProxy } from '../support/passing-proxy.js';

const from = new ListedProxies([PROXY, '10.0.0.0/8', '2001:db8:1::/48']);
const ROLES = { viewer: ['GET /'] };
const FOUR = addresses([203, 0, 113, 7]);
const SIX = addresses([0x20, 0x01, 0x0d, 0xb8, ...new Array<number>(11).fill(0), 7]);
const MAPPED = addresses([...new Array<number>(10).fill(0), 255, 255, 203, 0, 113, 7]);
const CLIENT = { address: '203.0.113.7', port: 4711 };
const LINE = Buffer.from('PROXY TCP4 203.0.113.7 127.0.0.1 4711 7070\r\n');

type Told = Readonly<{ client: string; proto: string }>;

/** Pairs from Node's flat list of names and values. */
function pairs(raw: readonly string[]): Header[] {
  const headers: Header[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) headers.push([raw[at] ?? '', raw[at + 1] ?? '']);
  return headers;
}

/** A server that answers with what it takes for its client. */
async function startTelling(t: Test, client: HttpProxies['client']) {
  const server = createServer((req, res) => {
    const coming = { socket: req.socket, headers: pairs(req.rawHeaders) };
    noteWhence(coming, { from, client });
    res.end(JSON.stringify({ client: clientOf(coming), proto: protoOf(coming) }));
  });
  const port = await listen(t, server);
  return (headers: readonly string[], localAddress = PROXY) =>
    new Promise<Told>((resolve, reject) => {
      const req = request({ host: '127.0.0.1', port, localAddress, agent: false, headers: ['host', 'x', ...headers] });
      req.once('response', (res) => {
        res.setEncoding('utf8').once('data', (text: string) => resolve(JSON.parse(text)));
      });
      req.once('error', reject);
      req.end();
    });
}

const spoofs = (count: number, text: string) => new Array<string>(count).fill(text).join(', ');

t.test('A4: of X-Forwarded-For counts what listed proxies wrote, from the right', async (t) => {
  const ask = await startTelling(t, 'x-forwarded-for');
  for (const [values, client] of [
    [['203.0.113.7'], '203.0.113.7'],
    [['6.6.6.6, 203.0.113.7'], '203.0.113.7'],
    [['203.0.113.7,10.0.0.5'], '203.0.113.7'],
    [['6.6.6.6, 203.0.113.7, 10.0.0.5, 2001:db8:1::9'], '203.0.113.7'],
    [['6.6.6.6', '203.0.113.7'], '203.0.113.7'],
    [['6.6.6.6, garbage, 203.0.113.7'], '203.0.113.7'],
    [['203.0.113.7, garbage'], PROXY],
    [['203.0.113.7, garbage, 10.0.0.5'], '10.0.0.5'],
    [['203.0.113.7,'], PROXY],
    [[''], PROXY],
    [[], PROXY],
    [['::ffff:203.0.113.7'], '203.0.113.7'],
    [['::FFFF:cb00:7107'], '203.0.113.7'],
    [['203.0.113.7, ::ffff:10.0.0.5'], '203.0.113.7'],
    [['2001:DB8:0:0::7'], '2001:db8::7'],
    [['203.0.113.7:4711'], '203.0.113.7'],
    [['[2001:db8::7]:4711'], '2001:db8::7'],
    [['203.0.113.07'], PROXY],
    [['0x7f.1'], PROXY],
    [['fe80::1%eth0'], PROXY],
    [['203.0.113.7/24'], PROXY],
    [['"203.0.113.7"'], PROXY],
    [['203.0.113.7 6.6.6.6'], PROXY],
    [['unknown'], PROXY],
    [[`${spoofs(99, '6.6.6.6')}, 203.0.113.7`], '203.0.113.7'],
    [[`6.6.6.6, ${spoofs(100, '10.0.0.1')}`], '6.6.6.6'],
    [[spoofs(100, '10.0.0.1')], '10.0.0.1'],
  ] as const) {
    const headers = values.flatMap((value) => ['x-forwarded-for', value]);
    t.equal((await ask(headers)).client, client, JSON.stringify(values).slice(0, 80));
    t.equal((await ask(headers, '127.0.0.1')).client, '127.0.0.1', 'and nobody else is believed');
  }
  const others = ['X_Forwarded_For', 'Forwarded', 'X-Real-IP', 'X-Client-IP', 'X-Forwarded-For-Real'];
  for (const name of others) t.equal((await ask([name, 'for=6.6.6.6'])).client, PROXY, name);
});

t.test('A4: X-Forwarded-Proto counts when a listed proxy says it, and says something', async (t) => {
  const ask = await startTelling(t, 'x-forwarded-for');
  const said = async (value: string, by?: string) => (await ask(['x-forwarded-proto', value], by)).proto;
  t.equal(await said('https'), 'https');
  t.equal(await said('http, HTTPS'), 'https');
  for (const value of ['http', 'https, http', 'javascript', '', 'https;']) t.equal(await said(value), 'http', value);
  t.equal(await said('https', '127.0.0.1'), 'http');
});

t.test('A4: of Forwarded (RFC 7239) the same, however a client quotes what is not its own to say', async (t) => {
  const ask = await startTelling(t, 'forwarded');
  for (const [values, client, proto = 'http'] of [
    [['for=203.0.113.7;proto=https'], '203.0.113.7', 'https'],
    [['For="[2001:DB8::7]:4711"; by=10.0.0.5'], '2001:db8::7'],
    [['for=6.6.6.6;proto=https, for=203.0.113.7'], '203.0.113.7'],
    [['for=6.6.6.6', 'for="203.0.113.7:80";proto=HTTPS, for=10.0.0.5'], '203.0.113.7'],
    [['for="6.6.6.6, for=203.0.113.7;host="a"'], '203.0.113.7'],
    [['for="\\", for=203.0.113.7'], '203.0.113.7'],
    [['for=203.0.113.7, for=unknown'], PROXY],
    [['for=203.0.113.7, for=_hidden'], PROXY],
    [['for=203.0.113.7;for=6.6.6.6'], PROXY],
    [['for="203.0.113.7'], PROXY],
    [['for=2001:db8::7'], PROXY],
    [['203.0.113.7'], PROXY],
    [[`${spoofs(99, 'for=6.6.6.6')}, for=203.0.113.7`], '203.0.113.7'],
  ] as const) {
    const headers = values.flatMap((value) => ['forwarded', value]);
    t.match(await ask(headers), { client, proto }, JSON.stringify(values).slice(0, 80));
    t.match(await ask(headers, '127.0.0.1'), { client: '127.0.0.1', proto: 'http' });
  }
  t.equal((await ask(['x-forwarded-for', '6.6.6.6'])).client, PROXY, 'the other header is not the one');
});

const GOOD: readonly (readonly [name: string, header: Buffer, source: typeof CLIENT | 'unknown' | null])[] = [
  ['version 1', LINE, CLIENT],
  ['version 1, IPv6', Buffer.from('PROXY TCP6 2001:DB8::7 ::1 4711 1\r\n'), { ...CLIENT, address: '2001:db8::7' }],
  ['version 1, mapped', Buffer.from('PROXY TCP6 ::ffff:203.0.113.7 ::1 4711 1\r\n'), CLIENT],
  ['version 1, unknown', Buffer.from('PROXY UNKNOWN\r\n'), 'unknown'],
  ['version 1, unknown and more', Buffer.from('PROXY UNKNOWN 6.6.6.6 6.6.6.6 1 2\r\n'), 'unknown'],
  ['version 2', binaryHeader(FOUR), CLIENT],
  ['version 2, IPv6', binaryHeader(SIX, { family: 0x21 }), { ...CLIENT, address: '2001:db8::7' }],
  ['version 2, mapped', binaryHeader(MAPPED, { family: 0x21 }), CLIENT],
  ['version 2, additions', binaryHeader(Buffer.concat([FOUR, Buffer.from([4, 0, 2, 0, 0, 1, 0, 0])])), CLIENT],
  ['version 2, LOCAL', binaryHeader(FOUR, { command: 0x20 }), null],
  ['version 2, LOCAL and nothing', binaryHeader(Buffer.alloc(0), { command: 0x20, family: 0 }), null],
  ['version 2, unspecified', binaryHeader(Buffer.alloc(3), { family: 0 }), 'unknown'],
];

t.test('A4: a PROXY header is read whole, in whatever pieces it comes, and not a byte beyond', async (t) => {
  for (const [name, header, source] of GOOD) {
    t.same(readProxyHeader(header), { kind: 'whole', length: header.length, source }, name);
    const begun = [...header.keys()].filter((at) => readProxyHeader(header.subarray(0, at)).kind === 'begun');
    t.equal(begun.length, header.length, `${name}, wherever it is parted`);
    const all = Buffer.concat([header, LINE]);
    const taken: unknown[] = [];
    for (let at = 1; at <= header.length + 2; at += 1) {
      const stream = new PassThrough();
      const taking = takeProxyHeader(stream, 10_000);
      stream.write(all.subarray(0, at));
      setImmediate(() => stream.end(all.subarray(at)));
      const told = await taking;
      let rest = '';
      for await (const piece of stream) rest += String(piece);
      taken.push({ told, rest });
    }
    const expected = { told: source, rest: LINE.toString() };
    t.same(taken, new Array(header.length + 2).fill(expected), `${name}, and what comes after it`);
  }
});

const line = (text: string) => Buffer.from(text);
const BAD: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['a request', line('GET / HTTP/1.1\r\n')],
  ['a TLS handshake', Buffer.from([0x16, 3, 1])],
  ['an SSLRequest', Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])],
  ['lower case', line('proxy TCP4 203.0.113.7 1.1.1.1 1 2\r\n')],
  ['a blank too many', line('PROXY  TCP4 203.0.113.7 1.1.1.1 1 2\r\n')],
  ['a blank at the end', line('PROXY TCP4 203.0.113.7 1.1.1.1 1 2 \r\n')],
  ['a tab', line('PROXY TCP4\t203.0.113.7 1.1.1.1 1 2\r\n')],
  ['another family', line('PROXY UDP4 203.0.113.7 1.1.1.1 1 2\r\n')],
  ['a family that does not fit', line('PROXY TCP4 ::1 ::1 1 2\r\n')],
  ['the other that does not fit', line('PROXY TCP6 203.0.113.7 203.0.113.7 1 2\r\n')],
  ['the other address alone that does not fit', line('PROXY TCP4 203.0.113.7 ::1 1 2\r\n')],
  ['the other port too high', line('PROXY TCP4 203.0.113.7 1.1.1.1 1 65536\r\n')],
  ['a name', line('PROXY TCP4 localhost 1.1.1.1 1 2\r\n')],
  ['a short address', line('PROXY TCP4 127.1 1.1.1.1 1 2\r\n')],
  ['octal', line('PROXY TCP4 0203.0.113.7 1.1.1.1 1 2\r\n')],
  ['a zone', line('PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n')],
  ['a port too high', line('PROXY TCP4 203.0.113.7 1.1.1.1 65536 2\r\n')],
  ['a port with a zero', line('PROXY TCP4 203.0.113.7 1.1.1.1 01 2\r\n')],
  ['a signed port', line('PROXY TCP4 203.0.113.7 1.1.1.1 +1 2\r\n')],
  ['no ports', line('PROXY TCP4 203.0.113.7 1.1.1.1\r\n')],
  ['NUL', line('PROXY TCP4 203.0.113.7\0 1.1.1.1 1 2\r\n')],
  ['a line feed alone', line(`PROXY TCP4 203.0.113.7 1.1.1.1 1 2\n${' '.repeat(80)}\r\n`)],
  ['a line that is too long', line(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`)],
  ['another version', binaryHeader(FOUR, { command: 0x31 })],
  ['another command', binaryHeader(FOUR, { command: 0x22 })],
  ['UDP', binaryHeader(FOUR, { family: 0x12 })],
  ['a socket of the file system', binaryHeader(Buffer.alloc(216), { family: 0x31 })],
  ['an unknown family', binaryHeader(FOUR, { family: 0x41 })],
  ['no room for addresses', binaryHeader(FOUR.subarray(0, 11))],
  ['IPv4 for IPv6', binaryHeader(FOUR, { family: 0x21 })],
  ['an addition that is cut off', binaryHeader(Buffer.concat([FOUR, Buffer.from([4, 0])]))],
  ['an addition longer than the header', binaryHeader(Buffer.concat([FOUR, Buffer.from([4, 0, 2, 0])]))],
  ['a header that is too long', binaryHeader(Buffer.alloc(0), { length: MOST_HEADER })],
];

t.test('A4: whatever is nearly a PROXY header is none', async (t) => {
  for (const [name, bytes] of BAD) t.equal(readProxyHeader(bytes).kind, 'garbage', name);
  await t.rejects(takeProxyHeader(new PassThrough().end('PROXY TCP4 '), 10_000), { code: 'proxy_header' });
  await t.rejects(takeProxyHeader(new PassThrough().end(), 10_000), { code: 'client_left' });
  await t.rejects(takeProxyHeader(new PassThrough(), 20), { code: 'proxy_header', message: /within 20 ms/ });
});

t.test('A4: behind the PROXY protocol a gateway knows the client, and takes nothing without a header', async (t) => {
  const echo = await startEcho(t);
  const proxies = { from, client: 'proxy-protocol' } as const;
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } }, { proxies, headTimeout: 500 });
  const { handle } = gateway.issue('web');
  const spoofed = 'X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\n';
  const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n${spoofed}\r\n`;
  const told = () => Object.fromEntries(echo.requests.at(-1)?.headers ?? []);
  const answers = async (pieces: readonly (string | Buffer)[], localAddress = PROXY) => {
    const socket = connect({ port: gateway.port, host: '127.0.0.1', localAddress, noDelay: true });
    let seen = '';
    socket.on('data', (chunk) => (seen += chunk)).on('error', () => {});
    const ended = new Promise((resolve) => socket.once('close', resolve));
    for (const piece of pieces) {
      socket.write(piece);
      await sleep(1);
    }
    await ended;
    return seen;
  };

  t.test('split wherever it may be', async (t) => {
    for (const header of [LINE, binaryHeader(FOUR)]) {
      const all = Buffer.concat([header, Buffer.from(head)]);
      for (const at of [1, 5, 6, 12, 15, 16, 17, header.length - 1, header.length, header.length + 1]) {
        t.match(await answers([all.subarray(0, at), all.subarray(at)]), /^HTTP\/1\.1 200/, `at ${at}`);
        t.match(told(), { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': 'http' });
      }
    }
    t.notMatch(JSON.stringify(await gateway.events()), /"client":"(?!203\.0\.113\.7")/);
  });

  t.test('a proxy that asks for itself is itself', async (t) => {
    t.match(await answers([binaryHeader(FOUR, { command: 0x20 }), head]), /^HTTP\/1\.1 200/);
    t.equal(told()['x-forwarded-for'], PROXY);
    t.match(await answers(['PROXY UNKNOWN 6.6.6.6 1.1.1.1 1 2\r\n', head]), /^HTTP\/1\.1 200/);
    t.equal(told()['x-forwarded-for'], PROXY, 'and one that does not know is all that is known');
  });

  t.test('from a listed proxy nothing passes without one', async (t) => {
    const before = echo.requests.length;
    for (const bytes of [head, ...BAD.map(([, bad]) => Buffer.concat([bad, Buffer.from(head)]))])
      t.equal(await answers([bytes]), '', JSON.stringify(String(bytes)).slice(0, 60));
    t.equal(await answers(['PROXY TCP4 ']), '', 'nor later than allowed');
    t.match(await answers([LINE, LINE, head]), /^HTTP\/1\.1 400/, 'a second one is the client’s, and no request');
    t.equal(echo.requests.length, before);
    t.match(gateway.lines.join(), /PROXY header of a listed proxy.*neither version 1 nor version 2/);
  });

  t.test('from anybody else it is a bad request', async (t) => {
    const before = echo.requests.length;
    for (const [name, header] of GOOD) t.match(await answers([header, head], '127.0.0.1'), /^HTTP\/1\.1 400/, name);
    t.equal(echo.requests.length, before);
    t.match(await answers([head], '127.0.0.1'), /^HTTP\/1\.1 200/);
    t.equal(told()['x-forwarded-for'], '127.0.0.1');
  });
});

t.test('A4: and before TLS the same', async (t) => {
  const echo = await startEcho(t);
  const tls = await selfSigned('web.localhost');
  const proxies = { from, client: 'proxy-protocol' } as const;
  const gateway = await startGateway(t, { web: { url: echo.url, roles: ROLES } }, { tls, proxies });
  const { handle } = gateway.issue('web');
  for (const header of [LINE, binaryHeader(SIX, { family: 0x21 })]) {
    const port = await startProxy(t, gateway.port, header);
    const at = `web.localhost:${port}`;
    const asked = await curl([
      '-k',
      '--resolve',
      `${at}:127.0.0.1`,
      '-H',
      `Authorization: Bearer ${handle}`,
      `https://${at}/`,
    ]);
    t.match(asked, { code: 0, stdout: 'you asked for /' });
  }
  const told = echo.requests.map(({ headers }) => Object.fromEntries(headers)['x-forwarded-for']);
  t.same(told, ['203.0.113.7', '2001:db8::7']);
  const plain = rawOver(t, connect(gateway.port, '127.0.0.1'), LINE);
  t.equal(await plain.ended, '', 'from anybody else it is no handshake');
});
