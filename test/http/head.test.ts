import t from 'tap';
import { RequestReader } from '../../src/http/client/request-reader.js';
import type { Head } from '../../src/http/head.js';

/** Reads requests without bodies, as one connection does. */
function connection(): (lines: readonly string[], version?: string) => Head {
  const heads: Head[] = [];
  const heard = { head: (_: unknown, head: Head) => void heads.push(head), body() {}, end() {} };
  const reader = new RequestReader(heard, 'test');
  return (lines, version = '1.1') => {
    reader.push(Buffer.from([`GET / HTTP/${version}`, ...lines, '', ''].join('\r\n'), 'latin1'), 0);
    const head = heads.pop();
    if (head === undefined) throw new Error('no head was read');
    return head;
  };
}

t.test(
  'a head is known again on its own connection only, and only when every name and value is the same',
  async (t) => {
    const [read, other] = [connection(), connection()];
    const lines = ['Host: web.test', 'Authorization: Bearer a', 'Accept: */*'];
    const head = read(lines);
    t.equal(read(lines), head);
    t.not(other(lines), head, 'another connection');
    for (const different of [
      ['Host: web.test', 'Authorization: Bearer b', 'Accept: */*'],
      ['Host: other.test', 'Authorization: Bearer a', 'Accept: */*'],
      ['Host: web.test', 'authorization: Bearer a', 'Accept: */*'],
      ['Host: web.test', 'Accept: */*', 'Authorization: Bearer a'],
      lines.slice(0, 2),
      [...lines, 'X: y'],
    ]) {
      const first = read(lines);
      const seen = read(different);
      t.not(seen, first, different.join(' '));
      t.equal(seen.admission, null, 'nobody is let in yet');
    }
    const last = read(lines);
    t.not(read(lines, '1.0'), last, 'another version frames otherwise');
  },
);
