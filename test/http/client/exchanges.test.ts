import type { Duplex } from 'node:stream';
import t from 'tap';
import type { ClientRequest } from '../../../src/http/client/request.js';
import { type ClientResponse, KEEP_ALIVE } from '../../../src/http/client/response.js';
import { type Kept, lasting } from '../../../src/http/memory/reading.js';
import { closed, waitUntil } from '../../support/wait.js';
import { HEAD_TIMEOUT, serve } from '../bare-server.js';

const get = (path: string, ...lines: readonly string[]) =>
  `${[`GET ${path} HTTP/1.1`, 'Host: x', ...lines].join('\r\n')}\r\n\r\n`;
const post = (path: string, body: string, length = body.length) =>
  get(path, `Content-Length: ${length}`).replace('GET', 'POST') + body;

/** Answers with the body of the request, once it is whole. */
function echo(req: ClientRequest, res: ClientResponse): void {
  let body = '';
  req.receive({
    data: ({ bytes }) => (body += bytes.toString('latin1')),
    end: () => res.send(200, {}, body),
    fail() {},
  });
}

const bodiesOf = (text: string) => text.split(/HTTP\/1\.1 \d{3} [\s\S]*?\r\n\r\n/).slice(1);

t.test('the requests of a pipeline are served one after the other, whatever is in them', async (t) => {
  let answerFirst = () => {};
  const { client, asked } = await serve(t, (req, res) => {
    if (req.target === '/first') answerFirst = () => res.send(200, {}, 'first');
    else echo(req, res);
  });
  const chunked = '/c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n';
  const one = client(
    [get('/first'), post('/b', 'b'), `POST ${chunked}`, get('/last', 'Connection: close'), get('/behind')].join(''),
  );
  await waitUntil('the first is asked', () => asked.length > 0);
  const other = client(post('/other', 'x'));
  await other.sees(/x$/);
  t.same(asked, ['GET /first', 'POST /other']);
  answerFirst();
  t.same(bodiesOf(await one.ended), ['first', 'b', 'c', '']);
  t.same(asked.slice(2), ['POST /b', 'POST /c', 'GET /last']);
});

t.test('a connection stays open when both sides have it so, and no longer', async (t) => {
  const { client } = await serve(t, (req, res) => {
    if (req.target === '/close') res.keepsAlive = false;
    if (req.target !== '/open') return res.send(200, {}, 'ok');
    res.begin({ status: 200, lines: '', hasLength: false, hasDate: false });
    res.end('ok');
  });
  for (const [head, stays] of [
    [get('/'), true],
    [get('/', 'Connection: Close'), false],
    [get('/', 'Connection: x, close'), false],
    [get('/close'), false],
    [get('/open'), true],
    ['GET / HTTP/1.0\r\n\r\n', false],
    ['GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', true],
    ['GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n', false],
    ['GET /open HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', false],
  ] as const) {
    const text = await client(head + get('/', 'Connection: close')).ended;
    t.equal(text.match(/HTTP\/1\.1 200/g)?.length, stays ? 2 : 1, JSON.stringify(head));
    t.match(text, stays ? /^[\s\S]*?\r\nConnection: keep-alive\r\n/ : /^[\s\S]*?\r\nConnection: close\r\n/);
    t.equal(/chunked/.test(text), head.startsWith('GET /open HTTP/1.1'), 'chunks for HTTP/1.1 alone');
  }
});

t.test('an answer has the body that its request and its status allow, and what follows it is the next', async (t) => {
  const { client } = await serve(t, (req, res) => {
    const status = Number(/\d+/.exec(req.target)?.[0] ?? 200);
    res.begin({
      status,
      lines: req.target.includes('length') ? 'Content-Length: 5\r\n' : '',
      hasLength: req.target.includes('length'),
      hasDate: false,
    });
    for (const piece of ['he', '', 'l']) res.write(lasting(Buffer.from(piece)));
    res.end('lo');
  });
  const answers: readonly (readonly [string, string])[] = [
    [get('/204'), ''],
    [get('/304'), ''],
    [get('/304/length'), ''],
    [get('/').replace('GET', 'HEAD'), ''],
    [get('/length').replace('GET', 'HEAD'), ''],
    [get('/length'), 'hello'],
    [get('/'), '2\r\nhe\r\n1\r\nl\r\n2\r\nlo\r\n0\r\n\r\n'],
  ];
  const all = answers.map(([asked]) => asked).join('') + get('/length', 'Connection: close');
  t.same(bodiesOf(await client(all).ended), [...answers.map(([, body]) => body), 'hello']);
});

t.test('a client waits while nobody takes its body, and all of it comes in its order', async (t) => {
  const body = Array.from({ length: 2_000_000 }, (_, at) => String(at).padStart(8, ' ')).join('');
  let taken = '';
  let resume = () => {};
  const { client, asked } = await serve(t, (req, res) => {
    if (req.target !== '/in') return res.send(200, {}, 'ok');
    const data = ({ bytes }: Kept) => {
      taken += bytes.toString('latin1');
      req.pause();
      if (taken.length > 100_000) setImmediate(() => req.resume());
      else resume = () => req.resume();
    };
    req.receive({ data, end: () => res.send(200, {}, 'all'), fail() {} });
  });
  const slow = client(post('/in', body));
  await waitUntil('some of it came', () => taken !== '');
  for (let turn = 0; turn < 5; turn += 1) await client(get('/', 'Connection: close')).ended;
  t.ok(slow.socket.writableLength > 0, `${slow.socket.writableLength} bytes wait at the client`);
  t.ok(taken.length <= 64 * 1024, `${taken.length} were taken`);
  const going = setInterval(() => resume(), 5);
  t.teardown(() => clearInterval(going));
  await slow.sees(/all$/);
  t.ok(taken === body, 'byte for byte');
  t.equal(asked.length, 6);
});

t.test('a body may be taken before it comes, while it comes, and when it is there', async (t) => {
  const { client, asked } = await serve(t, (req, res) => {
    if (req.target === '/now') return echo(req, res);
    const wait = setInterval(() => {
      if (req.target === '/whole' && !req.isComplete) return;
      clearInterval(wait);
      echo(req, res);
    }, 5);
  });
  const texts = [
    post('/now', 'a'),
    post('/soon', 'b'),
    post('/whole', 'c'),
    post('/soon', ''),
    post('/soon', 'x'.repeat(200_000)),
  ];
  const one = client(texts.join(''));
  await waitUntil('all are answered', () => one.text().length > 200_000 && one.text().endsWith('x'.repeat(200_000)));
  t.same(bodiesOf(one.text()), ['a', 'b', 'c', '', 'x'.repeat(200_000)]);
  const other = client(post('/soon', 'he', 5));
  await waitUntil('it is asked', () => asked.length > texts.length);
  other.socket.write('llo');
  await other.sees(/hello$/);
});

t.test('what is left of a body behind its answer is read on, within bounds', async (t) => {
  const { client, asked, connections, look } = await serve(t, (_req, res) => res.send(413, {}, 'no'));
  const little = client(post('/little', 'x'.repeat(1_000_000)) + get('/next', 'Connection: close'));
  t.match(await little.ended, /^HTTP\/1\.1 413 [\s\S]*HTTP\/1\.1 413 [\s\S]*no$/);
  const much = client(post('/much', 'x'.repeat(32 * 1024 * 1024)) + get('/never'));
  await waitUntil('it waits', () => [...connections].some(({ socket }) => socket.isPaused()));
  look(6_000);
  await much.ended;
  t.same(asked, ['POST /little', 'GET /next', 'POST /much']);
});

t.test('an answer that is the last reaches a client that is still sending, and what it sends is dropped', async (t) => {
  const { client, asked } = await serve(t, (_req, res) => {
    res.keepsAlive = false;
    res.send(413, {}, 'no');
  });
  const one = client(post('/', 'x', 500_000));
  await one.sees(/no$/);
  one.socket.write('x'.repeat(499_999) + get('/never'));
  await one.ended;
  t.same(asked, ['POST /']);
  const endless = client(post('/', 'x', 500_000));
  await endless.sees(/no$/);
  endless.socket.write('x'.repeat(8 * 1024 * 1024));
  await endless.ended;
});

t.test('a client that ends its side in the midst of something is told so, or has left', async (t) => {
  const [failures, ends] = [[] as string[], [] as boolean[]];
  const { client, told, asked } = await serve(t, (req, res) => {
    req.receive({ data() {}, end() {}, fail: ({ message }) => failures.push(message) });
    res.owner = { drained() {}, isBounded: false, closed: (isWhole) => ends.push(isWhole) };
    if (req.target === '/now') res.send(200, {}, 'now');
  });
  const midst = 'the end in the midst of a request';
  for (const bytes of ['GET', 'GET / HTTP/1.1\r\nHost: x\r\n', post('/', 'ab', 3)]) {
    const one = client(bytes);
    one.socket.end();
    t.match(await one.ended, /^HTTP\/1\.1 400 /, bytes);
    t.equal(told.pop(), midst);
  }
  t.same([failures, ends], [[midst], [false]]);
  const idle = client(`${get('/now')}\r\n`);
  await idle.sees(/now$/);
  idle.socket.end();
  await idle.ended;
  const waiting = client(get('/never'));
  await waitUntil('it is asked', () => asked.includes('GET /never'));
  waiting.socket.end();
  t.equal(await waiting.ended, '');
  await waitUntil('its answer is known to be for nobody', () => ends.length === 3);
  t.same(ends, [false, true, false]);
  t.same(told, []);
});

t.test('half an answer never looks whole to a client that ends its side, not even without framing', async (t) => {
  const { client } = await serve(t, (_req, res) => {
    res.begin({ status: 200, lines: '', hasLength: false, hasDate: false });
    res.write(lasting(Buffer.from('half')));
  });
  const bare = client('GET / HTTP/1.0\r\n\r\n');
  const fault = new Promise<NodeJS.ErrnoException>((resolve) => bare.socket.once('error', resolve));
  await bare.sees(/half$/);
  bare.socket.end();
  t.equal((await fault).code, 'ECONNRESET');
  const framed = client(get('/'));
  await framed.sees(/half/);
  framed.socket.end();
  t.match(await framed.ended, /\r\n\r\n4\r\nhalf\r\n$/, 'no last chunk');
});

t.test('an answer that a client did not take is not whole, and no other request is served', async (t) => {
  const ends: boolean[] = [];
  const { client, asked } = await serve(t, (_req, res) => {
    res.owner = { drained() {}, isBounded: false, closed: (isWhole) => ends.push(isWhole) };
    res.send(200, {}, 'x'.repeat(16 * 1024 * 1024));
  });
  const one = client(get('/') + get('/next'));
  one.socket.pause();
  await waitUntil('it is asked', () => asked.length > 0);
  one.socket.resetAndDestroy();
  await waitUntil('the answer is over', () => ends.length > 0);
  t.same([ends, asked], [[false], ['GET /']]);
});

t.test('who takes too long is cut off: with a head, between requests, behind the last answer', async (t) => {
  const { client, told, asked, look, connections } = await serve(t, (req, res) => {
    if (req.target === '/last') res.keepsAlive = false;
    if (req.target !== '/never') res.send(200, {}, 'ok');
  });
  const come = (many: number) => waitUntil('they are there', () => connections.size === many);
  for (const bytes of ['', 'GET / HT', '\r\n']) {
    const slow = client(bytes);
    await come(1);
    look(HEAD_TIMEOUT - 1_000);
    t.same(told, []);
    look(HEAD_TIMEOUT + 1_000);
    t.match(await slow.ended, /^HTTP\/1\.1 408 /, bytes);
    t.equal(told.pop(), 'the head of a request took too long');
    await come(0);
  }
  const second = client(get('/'));
  await second.sees(/ok$/);
  look(KEEP_ALIVE - 1_000);
  second.socket.write('GET / HT');
  await waitUntil('it began', () => {
    look(HEAD_TIMEOUT + 1_000);
    return told.length > 0;
  });
  t.match(await second.ended, /ok[\s\S]*HTTP\/1\.1 408 /);
  const idle = client(get('/'));
  await idle.sees(/ok$/);
  look(KEEP_ALIVE + 1_000);
  await idle.ended;
  const busy = client(get('/never'));
  await waitUntil('it is asked', () => asked.includes('GET /never'));
  look(1_000_000);
  t.equal(connections.size, 1, 'an answer under way takes the time it takes');
  busy.socket.destroy();
  await come(0);
  for (const bytes of [post('/', 'x', 5), post('/last', 'x', 5), get('/last')]) {
    const lingering = client(bytes);
    lingering.socket.allowHalfOpen = true;
    await lingering.sees(/ok$/);
    await come(1);
    look(4_000);
    t.equal(connections.size, 1, 'it may still take its answer');
    look(6_000);
    await come(0);
  }
});

t.test('a fault of whoever serves a request closes its connection, and nothing more is read of it', async (t) => {
  const { client, told, asked } = await serve(t, (req) => {
    const fault = () => {
      throw new Error(`a fault at ${req.target}`);
    };
    if (req.target === '/data') return req.receive({ data: fault, end() {}, fail() {} });
    if (req.target === '/end') return req.receive({ data() {}, end: fault, fail() {} });
    // What was begun before goes on in the same turn.
    queueMicrotask(() => req.receive({ data: ({ bytes }) => asked.push(bytes.toString()), end() {}, fail() {} }));
    fault();
  });
  for (const target of ['/head', '/data', '/end'])
    t.equal(await client(post(target, 'ab') + get('/next')).ended, '', target);
  t.same(
    told,
    ['/head', '/data', '/end'].map((target) => `Error: a fault at ${target}`),
  );
  t.same(asked, ['POST /head', 'POST /data', 'POST /end']);
});

t.test('whoever takes a connection over gets every byte behind the head, whenever it listens', async (t) => {
  for (const turns of [0, 1, 50]) {
    let [taken, from] = ['', ''];
    const upgrade = (req: ClientRequest, socket: Duplex, rest: Buffer) => {
      taken = rest.toString('latin1');
      from = req.target;
      const listen = () => {
        socket.on('data', (bytes: Buffer) => (taken += bytes.toString('latin1')));
        socket.once('end', () => socket.end('bye'));
      };
      if (turns === 0) listen();
      else setTimeout(listen, turns);
    };
    const { client, connections, told, look } = await serve(t, (_req, res) => res.send(200, {}, 'ok'), { upgrade });
    const frames = `\0\n\r\r\n${get('/not-a-request')}\xff`;
    const one = client(
      get('/before') + get('/up', 'Connection: upgrade', 'Upgrade: websocket', 'Content-Length: 3') + frames,
    );
    await waitUntil('it is taken over', () => from === '/up');
    one.socket.write('more'.repeat(50_000));
    look(1_000_000);
    one.socket.end('end');
    t.match(await one.ended, /ok$|bye$/);
    t.equal(taken.length, frames.length + 200_003);
    t.ok(taken.startsWith(frames) && taken.endsWith('moreend'), `listening after ${turns} ms`);
    t.same([connections.size, told], [0, []], "it is nobody's here any more");
  }
});

t.test('CONNECT takes its connection, behind what was asked before', async (t) => {
  const connect = ({ target }: ClientRequest, socket: Duplex) => void socket.end(`no ${target}`);
  const { client, asked } = await serve(t, (_req, res) => setTimeout(() => res.send(200, {}, 'ok'), 10), { connect });
  const one = client(`${get('/before')}CONNECT web:1 HTTP/1.1\r\nHost: web:1\r\n\r\n${get('/behind')}`);
  t.match(await Promise.race([one.ended, one.sees(/no web:1$/)]), /ok[\s\S]*no web:1$/);
  t.same(asked, ['GET /before']);
  one.socket.destroy();
  await closed(one.socket);
});

t.test('a client that leaves while nobody takes more of its body is noticed', async (t) => {
  const failures: string[] = [];
  let pieces = 0;
  const { client } = await serve(t, (req) => {
    const data = () => {
      pieces += 1;
      req.pause();
    };
    req.receive({ data, end() {}, fail: ({ message }) => failures.push(message) });
  });
  const leaving = client(post('/in', 'a', 100_000));
  await waitUntil('it is not taken any more', () => pieces === 1);
  for (let times = 0; times < 5; times += 1) {
    leaving.socket.write('more');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  leaving.socket.resetAndDestroy();
  await waitUntil('whoever takes it hears of that', () => failures.length === 1);
});
