import type { IncomingMessage } from 'node:http';
import t from 'tap';
import { Heads } from '../../src/http/head.js';

function request(socket: object, rawHeaders: string[], httpVersion = '1.1'): IncomingMessage {
  return { socket, rawHeaders, httpVersion } as unknown as IncomingMessage;
}

t.test(
  'a head is known again on its own connection only, and only when every name and value is the same',
  async (t) => {
    const heads = new Heads('test');
    const [socket, other] = [{}, {}];
    const raw = ['Host', 'web.test', 'Authorization', 'Bearer a', 'Accept', '*/*'];
    const head = heads.of(request(socket, raw));
    t.equal(heads.of(request(socket, [...raw])), head);
    t.not(heads.of(request(other, [...raw])), head, 'another connection');
    for (const different of [
      ['Host', 'web.test', 'Authorization', 'Bearer b', 'Accept', '*/*'],
      ['Host', 'other.test', 'Authorization', 'Bearer a', 'Accept', '*/*'],
      ['Host', 'web.test', 'authorization', 'Bearer a', 'Accept', '*/*'],
      ['Host', 'web.test', 'Accept', '*/*', 'Authorization', 'Bearer a'],
      raw.slice(0, 4),
      [...raw, 'X', 'y'],
    ]) {
      const first = heads.of(request(socket, raw));
      const seen = heads.of(request(socket, different));
      t.not(seen, first, different.join(' '));
      t.equal(seen.admission, null, 'nobody is let in yet');
    }
    const last = heads.of(request(socket, raw));
    t.not(heads.of(request(socket, [...raw], '1.0')), last, 'another version frames otherwise');
  },
);
