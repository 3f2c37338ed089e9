import t from 'tap';
import { HEAD_BYTES } from '../../src/http/request.js';
import { bytesOf, chunked, get, inPieces, post, read, readText, same, WELL_FORMED } from '../http/request-reading.js';

t.test('A6: a request is read the same, wherever it is split', async (t) => {
  for (const [name, [text, ...bodies]] of Object.entries(WELL_FORMED)) {
    const bytes = bytesOf(text);
    const whole = read([bytes]);
    t.match({ why: whole.why, bodies: whole.whole.map(({ body }) => body) }, { why: null, bodies }, name);
    t.equal(whole.whole.length, bodies.length, name);
    const splits = Array.from(bytes, (_, at) => read([bytes.subarray(0, at), bytes.subarray(at)]));
    splits.push(read(inPieces(bytes, 1)), read(inPieces(bytes, 2)), read(inPieces(bytes, 3, 1)));
    const odd = splits.findIndex((one) => !same(one, whole));
    t.equal(odd, -1, `${name} at ${odd}`);
  }
});

t.test('A6: the last head of a connection is never taken for another that is nearly the same', async (t) => {
  const first = post('Authorization: Bearer a\r\nContent-Length: 2', 'ab');
  const bytes = bytesOf(first);
  const [known, again] = readText(first + first).heads;
  t.equal(again, known, 'the same bytes are the same head');
  const wrong: string[] = [];
  for (let at = 0; at < bytes.length; at += 1) {
    for (const change of ['\0', '\t', '\n', '\r', ' ', ':', '0', '1', '9', 'A', 'b', '\x80', '']) {
      const other = first.slice(0, at) + change + first.slice(at + 1);
      if (other === first) continue;
      const alone = readText(other);
      const behind = readText(first + other);
      const isSame = same(behind, { ...alone, whole: [...readText(first).whole, ...alone.whole] });
      const isKnown = other.slice(other.indexOf('\n')).startsWith(first.slice(first.indexOf('\n'), -2));
      if (!isSame || (behind.heads[1] === behind.heads[0] && !isKnown)) wrong.push(JSON.stringify([at, change]));
    }
  }
  t.same(wrong, []);
  for (const [one, other] of [
    [get(), get('X: y')],
    [get('X: y'), get()],
    ['GET / HTTP/1.1\r\n\r\n', get()],
    [get(), 'GET / HTTP/1.1\r\n\r\n'],
    [get('A: b', 'C: d'), get('C: d', 'A: b')],
    [get(), get().replace('HTTP/1.1', 'HTTP/1.0')],
    [chunked('0\r\n\r\n'), chunked('0\r\n\r\n').replace('HTTP/1.1', 'HTTP/1.0')],
  ] as const) {
    t.ok(
      same(readText(one + other), { ...readText(other), whole: [...readText(one).whole, ...readText(other).whole] }),
    );
  }
});

t.test('a head may have 16 KiB, and no byte more, however it comes', async (t) => {
  const of = (length: number) => get(`X: ${'x'.repeat(length - get('X: ').length)}`);
  for (const lengths of [[HEAD_BYTES + 1], [HEAD_BYTES], [HEAD_BYTES - 1, 1], [1_000], [HEAD_BYTES - 3, 2]]) {
    const pieces = (text: string) => inPieces(bytesOf(text), ...lengths);
    t.match(read(pieces(of(HEAD_BYTES) + get())), { why: null, whole: [{ method: 'GET' }, { method: 'GET' }] });
    t.match(read(pieces(of(HEAD_BYTES + 1))), { status: 431, whole: [] }, `${lengths}`);
    t.match(read(pieces(of(HEAD_BYTES).repeat(2))), { why: null, whole: [{ method: 'GET' }, { method: 'GET' }] });
    const [name, longer] = ['/', `/${'x'.repeat(HEAD_BYTES)}`];
    t.match(read(pieces(get() + get().replace(name, longer))), { status: 431 }, 'known headers behind a long line');
  }
  const behind = (length: number) => get() + get().replace('/', `/${'x'.repeat(length - get().length)}`);
  t.match(readText(behind(HEAD_BYTES)), { why: null, whole: [{ method: 'GET' }, { method: 'GET' }] });
  t.match(readText(behind(HEAD_BYTES + 1)), { status: 431 }, 'known headers in one piece with their line');
  t.match(readText('G'.repeat(HEAD_BYTES)), { status: 431 }, 'a line without an end');
  const tunnel = readText(get().replace('GET /', 'CONNECT x:1').slice(0, -2) + 'X: y\r\n'.repeat(HEAD_BYTES / 6));
  t.match(tunnel, { status: 431 });
  t.equal(tunnel.heads.length, 0, 'nothing is taken over by what was cut');
  t.match(readText(get().slice(0, -2) + 'X: y\r\n'.repeat(HEAD_BYTES / 6)), { status: 431 }, 'headers without an end');
});

t.test('a head may have 200 headers, and none more', async (t) => {
  const of = (count: number) => get(...Array.from({ length: count - 1 }, (_, at) => `A${at}: b`));
  t.match(readText(of(200) + get()), { why: null, status: null, whole: [{ method: 'GET' }, { method: 'GET' }] });
  t.match(readText(of(201) + get()), { status: 431 });
});

t.test('beside its chunks a body may have 16 KiB, all together', async (t) => {
  for (const [beside, status] of [
    [`1;${'x'.repeat(16_384)}\r\nx\r\n0\r\n\r\n`, null],
    [`1;${'x'.repeat(16_385)}\r\nx\r\n0\r\n\r\n`, 413],
    [`${'1;xxx\r\nx\r\n'.repeat(6_000)}0\r\n\r\n`, 413],
    [`0\r\n${'X: yyyyy\r\n'.repeat(2_048)}\r\n`, null],
    [`0\r\n${'X: yyyyy\r\n'.repeat(2_049)}\r\n`, 413],
    [`1;${'x'.repeat(9_000)}\r\nx\r\n0\r\nX: ${'y'.repeat(9_000)}\r\n\r\n`, 413],
  ] as const) {
    t.equal(readText(chunked(beside)).status, status, beside.slice(0, 20));
    t.equal(read(inPieces(bytesOf(chunked(beside)), 777)).status, status);
  }
  const much = chunked(`1;${'x'.repeat(9_000)}\r\nx\r\n0\r\n\r\n`);
  t.match(readText(much + much), { why: null, whole: [{ body: 'x' }, { body: 'x' }] }, 'each body has as much');
});

t.test('what cannot become a request is refused at once, not when its time is over', async (t) => {
  const began = (text: string) => read(inPieces(bytesOf(text), 1)).why;
  const hello = '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03';
  const ssh = 'SSH-2.0-OpenSSH_9.6\r\n';
  for (const text of [
    hello,
    '\x80\x2e\x01\x00\x02',
    '\0\0\0\x08\x04\xd2\x16\x2f',
    'PRI * HTTP/2.0\r\n\r\n',
    'GET / HTTP/1.1\n',
  ])
    t.not(began(text), null, JSON.stringify(text));
  for (const text of [
    'get ',
    ' GET',
    '\tGET',
    '\nGET',
    '\rGET',
    '\r\rGET',
    '<',
    '{',
    '\xef\xbb\xbfGET',
    'GET /\0',
    'GET /\r/',
    'GET / HTTP/1.1\r\nX: \x01',
  ])
    t.not(began(text), null, JSON.stringify(text));
  t.match(readText('\r\n'.repeat(1_000)), { why: /empty lines/ }, 'in one piece');
  t.not(began('\r\n'.repeat(17)), null, 'empty lines');
  for (const text of [
    'GET / HTTP/1.1\r\nX: y\n',
    'GET / HTTP/1.1\r\nX: y\rZ',
    'GET / HTTP/1.1\r\nX: \x7f',
    'GET / HTTP/1.1\r\n\n',
  ])
    t.not(began(text), null, JSON.stringify(text));
  for (const text of [
    '',
    '\r',
    '\r\n',
    '\r\n\r\nG',
    'GET / HTTP/1.1\r',
    'GET / HTTP/1.1\r\n\r',
    'GET / HTTP/1.1\r\nX: \ty\xff',
    ssh,
  ])
    t.equal(began(text), null, `${JSON.stringify(text)} is waited for`);
});
