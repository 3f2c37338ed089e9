import t from 'tap';
import { LastHead } from '../../src/http/last-head.js';
import { collect } from '../support/collect.js';

const head = (path: string) => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: web.localhost\r\n\r\n`);

t.test('the last head is known again where it stands, and no other is taken for it', async (t) => {
  const last = new LastHead<string>();
  t.equal(last.at(head('/'), 0), null);
  for (const path of ['/long/and/longer', '/a', '/b', `/${'x'.repeat(9_000)}`, '/c', '/long/and/longer']) {
    const bytes = head(path);
    t.equal(last.at(bytes, 0), null);
    t.equal(last.keep(bytes, path), path);
    bytes.fill(0); // it was copied
    t.equal(last.length, head(path).length);
    t.equal(last.at(head(path), 0), path);
    t.equal(last.at(Buffer.concat([Buffer.from('before'), head(path), Buffer.from('behind')]), 6), path);
    t.equal(last.at(head(path).subarray(0, -1), 0), null);
    t.equal(last.at(head(`${path}/`), 0), null);
  }
});

t.test('a connection that rests keeps about as much memory as its last head is long', async (t) => {
  const connections = Array.from({ length: 500 }, () => new LastHead<string>());
  // What others do meanwhile uses up Node's pool for short buffers.
  const others = () => [Buffer.from('x'.repeat(3_000)), Buffer.from('x'.repeat(3_000)), Buffer.from('x'.repeat(3_000))];
  const held = () => {
    collect();
    return process.memoryUsage().arrayBuffers;
  };
  const before = held();
  for (const [n, last] of connections.entries()) {
    last.keep(head(`/${'x'.repeat(2_000)}`), 'a long one, once');
    last.keep(head(`/${n}`), 'a short one');
    others();
  }
  const each = (held() - before) / connections.length;
  t.ok(each < 1_000, `${Math.round(each)} bytes each`);
  t.equal(connections[7]?.at(head('/7'), 0), 'a short one');
});
