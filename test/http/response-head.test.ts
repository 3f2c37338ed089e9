import t from 'tap';
import { parseWebAddress } from '../../src/config/address.js';
import { declines, readResponseHead } from '../../src/http/service/response-head.js';
import { HttpUpstream } from '../../src/http/service/target.js';

const headOf = (...lines: string[]) => readResponseHead(['HTTP/1.1 200 OK', ...lines].join('\r\n'));
const SIZED = 'Content-Length: 2';

t.test('a connection is kept where the service says so, for as long as it says', async (t) => {
  const old = (...lines: string[]) => readResponseHead(['HTTP/1.0 200 OK', ...lines].join('\r\n'));
  t.ok(headOf(SIZED).isKept);
  for (const close of ['close', 'Close', 'x, close']) t.notOk(headOf(SIZED, `Connection: ${close}`).isKept, close);
  t.notOk(headOf('Connection: keep-alive').isKept, 'its end ends the body');
  t.notOk(old(SIZED).isKept);
  t.ok(old(SIZED, 'Connection: Keep-Alive').isKept);
  t.notOk(old(SIZED, 'Connection: keep-alive, close').isKept);
  for (const [said, seconds] of [
    ['timeout=5', 5],
    ['max=100, Timeout=65', 65],
    ['timeout=x', null],
    ['max=100', null],
    ['notimeout=5', null],
  ] as const)
    t.equal(headOf(SIZED, `Keep-Alive: ${said}`).keptFor, seconds, said);
});

t.test('a thousand headers are read and no more, and lengths that a number holds', async (t) => {
  const many = (count: number) => headOf(...Array.from({ length: count }, () => 'X: y'));
  t.equal(many(1_000).headers.length, 1_000);
  t.throws(() => many(1_001), /more than 1000 headers/);
  t.equal(headOf(`Content-Length: ${'9'.repeat(15)}`).framing, 999_999_999_999_999);
  t.throws(() => headOf(`Content-Length: ${'9'.repeat(16)}`), /no Content-Length/);
});

t.test('a date that is for one connection alone is none for the client', async (t) => {
  const date = 'Date: Sun, 29 Nov 2026 20:00:00 GMT';
  t.ok(headOf(date).hasDate);
  t.notOk(headOf().hasDate);
  t.notOk(headOf(date, 'Connection: Date').hasDate, 'it is not passed on');
});

t.test(
  'what is passed on of a head that comes again is for whoever asks now, and for as long as they may',
  async (t) => {
    const address = parseWebAddress('http://127.0.0.1:7803');
    if (address === undefined) throw new Error('no address');
    const service = new HttpUpstream(address, [], { preservesHost: true });
    const own = new HttpUpstream(address, [], { preservesHost: true, passesAuthorization: true });
    const head = headOf('Location: http://one.localhost/x', 'WWW-Authenticate: Basic realm="a"');
    const [one, two] = [service.addressedAs('one.localhost'), own.addressedAs('two.localhost')];
    t.match(head.passedOn(one).lines, /^Location: \/x\r\n(?!WWW)/);
    t.match(head.expiring(one, 'soon'), /Daypass-Expires: soon\r\n$/);
    t.match(head.expiring(one, 'later'), /Daypass-Expires: later\r\n$/, 'renewed meanwhile');
    t.same(head.withheldFrom(one), ['basic']);
    t.match(head.passedOn(two).lines, /^Location: http:\/\/one\.localhost\/x\r\nWWW-Authenticate: Basic/);
    t.match(head.expiring(two, 'later'), /^Location: http:\/\/one\.localhost\/x\r\n/);
    t.same(head.withheldFrom(two), []);
  },
);

t.test('an answer that gives no page is known by its status', async (t) => {
  for (const [status, isNone] of [
    [200, false],
    [204, true],
    [206, false],
    [299, false],
    [300, true],
    [304, true],
    [404, true],
    [500, true],
  ] as const)
    t.equal(declines(readResponseHead(`HTTP/1.1 ${status} X`)), isNone, String(status));
});
