import t from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway, type TestGateway } from '../http/gateway.js';

/** The lines of a log that tell of something wrong. */
const warnings = ({ lines }: TestGateway): unknown[] =>
  lines.map((line) => JSON.parse(line)).filter(({ level }) => level >= 40);

const LOGIN = 'POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 48\r\n\r\ncode=';

t.test('A13: a stranger who breaks off a login is no outage: one refusal, with its own status', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  const halfway = raw(t, gateway.port, LOGIN);
  halfway.socket.end();
  t.match(await halfway.ended, /^HTTP\/1\.1 400 /);
  const slow = raw(t, gateway.port, LOGIN);
  t.match(await slow.ended, /^HTTP\/1\.1 408 [\s\S]*took too long/);
  t.match(warnings(gateway), [
    { msg: 'refused', status: 400, reason: 'bad_request', rule: 'readable request' },
    { msg: 'refused', status: 408, reason: 'bad_request', rule: 'the form of a login within 5 s' },
  ]);
  t.equal(warnings(gateway).length, 2);
});
