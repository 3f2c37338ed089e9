import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { raw } from '../http/gateway.js';
import { selfSigned } from '../support/certificate.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { portOf } from '../support/ports.js';

/* What the text of a policy only names (a file with a secret, with an authority) is another one, and the text is the same. */

const policy = (url: string, more: string) => `
service: web
protocol: http
lane: production
owner: group:leads
upstream: { url: "${url}", ${more} }
roles:
  viewer: { allow: [GET /] }
grants: { max_duration: 8h, max_renewals: 2 }
`;

/** Replaces a file of the configuration whole, since the gateway watches it, and has everything read again. */
async function replace(gateway: TestGateway, name: string, text: string): Promise<void> {
  const file = join(gateway.configDirectory, name);
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
  const { body } = await gateway.operator('POST', '/v1/reload', {});
  if (body.ok !== true) throw new Error(`no reload: ${JSON.stringify(body)}`);
}

async function status(t: Test, { ports }: TestGateway, handle: string): Promise<string> {
  const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`;
  return (await raw(t, ports.http, head).ended).slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length);
}

t.test('A5: a secret that was replaced is sent no more for what is live', async (t) => {
  const echo = await startEcho(t);
  const services = { web: policy(echo.url, 'headers: { authorization: { file: web.secret } }') };
  const gateway = await startGateway(t, { services, files: { 'web.secret': 'Bearer the-old-one' } });
  const { handle } = await gateway.issue({ service: 'web' });
  t.equal(await status(t, gateway, handle), '200');
  await replace(gateway, 'web.secret', 'Bearer the-new-one');
  t.equal(await status(t, gateway, handle), '200', 'and the same handle goes on');
  const sent = echo.requests.map(({ headers }) => headers.find(([name]) => name === 'authorization')?.[1]);
  t.same(sent, ['Bearer the-old-one', 'Bearer the-new-one']);
  await replace(gateway, 'other.secret', 'of nobody here');
  const sessions = (await gateway.events()).filter(({ kind }) => kind === 'open');
  t.equal(await status(t, gateway, handle), '200');
  t.equal(
    (await gateway.events()).filter(({ kind }) => kind === 'open').length,
    sessions.length,
    'where nothing is another one, what is live goes on',
  );
});

t.test('A5: a connection that an authority vouched for is not used once that is believed no more', async (t) => {
  const [pair, other] = [await selfSigned(), await selfSigned()];
  const server = createServer(pair, (_req, res) => res.end('here')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  t.teardown(() => server.closeAllConnections());
  let connections = 0;
  server.on('secureConnection', () => (connections += 1));
  const services = { web: policy(`https://127.0.0.1:${portOf(server.address())}`, 'tls: { ca: { file: ca.pem } }') };
  const gateway = await startGateway(t, { services, files: { 'ca.pem': pair.cert } });
  const { handle } = await gateway.issue({ service: 'web' });
  t.same([await status(t, gateway, handle), await status(t, gateway, handle)], ['200', '200']);
  t.equal(connections, 1, 'it was kept');
  await replace(gateway, 'ca.pem', other.cert);
  t.equal(await status(t, gateway, handle), '502');
  await replace(gateway, 'ca.pem', pair.cert);
  t.equal(await status(t, gateway, handle), '200');
});
