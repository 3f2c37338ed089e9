import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { ordersDatabase } from '../postgres/fixture.js';
import { selfSigned, selfSignedBy, validBetween } from '../support/certificate.js';
import { psql } from '../support/commands.js';
import { startGateway } from '../support/gateway.js';

/** The fingerprint of the certificate that a port shows; of the Postgres port by direct TLS. */
async function shown(t: Test, port: number, alpn: string): Promise<string> {
  const socket: TLSSocket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: [alpn] });
  t.teardown(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket.getPeerCertificate().fingerprint256;
}

t.test(
  'a reload shows a renewed certificate on both ports; one that does not fit its key changes nothing',
  async (t) => {
    const orders = await ordersDatabase(t);
    const [first, second, other] = await Promise.all([selfSigned(), selfSigned(), selfSigned()]);
    const gateway = await startGateway(t, {
      services: { 'orders-db': orders.policy() },
      env: orders.env,
      settings: 'tls: { cert: { file: cert.pem }, key: { file: key.pem } }\ndrain: 0s',
      files: { 'cert.pem': first.cert, 'key.pem': first.key },
    });
    const { http, postgres } = gateway.ports;
    const both = async () => [await shown(t, http, 'http/1.1'), await shown(t, postgres, 'postgresql')];
    const before = await both();
    t.equal(before[0], before[1]);
    const put = (pair: { cert: string; key: string }) =>
      Promise.all([
        writeFile(join(gateway.configDirectory, 'cert.pem'), pair.cert),
        writeFile(join(gateway.configDirectory, 'key.pem'), pair.key),
      ]);

    await put({ cert: other.cert, key: first.key });
    const refused = await gateway.operator('POST', '/v1/reload', {});
    t.match(refused, { status: 422, body: { problems: [/does not belong/] } });
    t.same(await both(), before);

    for (const half of [
      { ...second, cert: second.cert.slice(0, 300) },
      { ...second, key: second.key.slice(0, 100) },
      { ...second, key: '' },
      { ...first, cert: first.cert + second.cert.slice(0, 300) },
      { ...first, cert: first.cert + second.cert.slice(0, 15) },
      { cert: first.cert + second.cert.slice(0, -2), key: second.key },
    ]) {
      await put(half);
      t.match(await gateway.operator('POST', '/v1/reload', {}), { status: 422, body: { problems: [String] } });
      t.same(await both(), before, 'what is half-written is not shown');
    }
    for (const kind of [['ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1'], ['rsa:512']]) {
      await put(await selfSignedBy(kind));
      t.match(await gateway.operator('POST', '/v1/reload', {}), { status: 422, body: { problems: [/TLS/] } });
      t.same(await both(), before, 'with which nobody could connect is not shown');
    }
    await put({ ...first, cert: first.cert + second.cert });
    t.match(await gateway.operator('POST', '/v1/reload', {}), { status: 200 }, 'a whole chain is');

    await put(await validBetween('20240101000000Z', '20240102000000Z'));
    t.match(await gateway.operator('POST', '/v1/reload', {}), { status: 200 }, 'nor do policies wait for the dates');
    const warned = gateway.lines.filter(({ msg }) => /^the TLS certificate has expired: Jan +2 /.test(String(msg)));
    t.match(warned, [{ level: 40 }]);

    await put(second);
    t.match(await gateway.operator('POST', '/v1/reload', {}), { status: 200 });
    const after = await both();
    t.equal(after[0], after[1]);
    t.not(after[0], before[0]);

    const { handle, id } = await gateway.issue({ service: 'orders-db' });
    const bound = `host=127.0.0.1 port=${postgres} dbname=orders-db sslmode=require channel_binding=require user=alice+${id}`;
    t.match(
      await psql(bound, 'select 1', { env: { PGPASSWORD: handle } }),
      { code: 0, stdout: '1\n' },
      'bound to the new one',
    );
  },
);
