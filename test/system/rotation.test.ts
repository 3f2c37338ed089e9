import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { decodeProtectedHeader } from 'jose';
import t from 'tap';
import { keyRing, readSigningKey } from '../../src/grant/keys.js';
import { startEcho } from '../http/echo.js';
import { curl } from '../support/commands.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { freshDatabase } from '../support/postgres.js';

const newKey = () => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const kidOf = (pem: string) => [...keyRing(readSigningKey(pem)).keys()][0];

const policy = (url: string) => `
service: web
protocol: http
lane: production
owner: group:leads
upstream: { url: "${url}" }
roles:
  viewer: { allow: [GET /] }
grants: { max_duration: 8h, max_renewals: 2 }
`;

async function published({ ports }: TestGateway): Promise<string[]> {
  const { stdout } = await curl(['-s', `http://localhost:${ports.http}/.well-known/jwks.json`]);
  const { keys }: { keys: { kid: string }[] } = JSON.parse(stdout);
  t.notMatch(stdout, /"d"/, 'no private half');
  return keys.map(({ kid }) => kid).sort();
}

async function status({ ports }: TestGateway, handle: string): Promise<string> {
  const args = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '-H', `Daypass-Handle: ${handle}`];
  return (await curl([...args, `http://web.localhost:${ports.http}/`])).stdout;
}

async function kidOfGrant({ ledger }: TestGateway, id: string): Promise<string | undefined> {
  const [row] = await ledger.query<{ token: string }>('select token from daypass.grants where id = $1', [id]);
  return decodeProtectedHeader(row?.token ?? '').kid;
}

t.test('a signing key is replaced without cutting the grants it signed, until it is trusted no more', async (t) => {
  const echo = await startEcho(t);
  const [first, second] = [newKey(), newKey()];
  const ledger = await freshDatabase(t);
  const services = { web: policy(echo.url) };
  const before = await startGateway(t, { services, ledger, signingKey: first });
  const old = await before.issue({ service: 'web' });
  t.equal(await status(before, old.handle), '200');
  t.same(await published(before), [kidOf(first)]);
  await before.stop();

  for (const kept of [first, createPublicKey(first).export({ type: 'spki', format: 'pem' }).toString()]) {
    const settings = 'verification_keys: [{ env: OLD_KEY }]';
    const rotated = await startGateway(t, { services, ledger, signingKey: second, settings, env: { OLD_KEY: kept } });
    t.same(await published(rotated), [kidOf(first), kidOf(second)].sort());
    t.equal(await status(rotated, old.handle), '200', 'a grant of before is admitted');
    const fresh = await rotated.issue({ service: 'web' });
    t.equal(await kidOfGrant(rotated, fresh.id), kidOf(second), 'new grants are signed by the new key');
    t.equal(await status(rotated, fresh.handle), '200');
    const sent = echo.requests.at(-1)?.headers.find(([name]) => name === 'daypass-assertion')?.[1] ?? '';
    t.equal(decodeProtectedHeader(sent).kid, kidOf(second), 'and so are assertions');
    await rotated.stop();
  }

  // Grants are issued at whole seconds: all may have come within one.
  await ledger.query("update daypass.grants set issued_at = date_trunc('second', now())");
  const after = await startGateway(t, { services, ledger, signingKey: second });
  t.same(await published(after), [kidOf(second)]);
  const seen = echo.requests.length;
  t.equal(await status(after, old.handle), '401', 'what only the old key vouches for is refused');
  t.equal(echo.requests.length, seen);
});

t.test('a grant of before is signed anew by its renewal', async (t) => {
  const echo = await startEcho(t);
  const [first, second] = [newKey(), newKey()];
  const ledger = await freshDatabase(t);
  const services = { web: policy(echo.url) };
  const before = await startGateway(t, { services, ledger, signingKey: first });
  const { id, handle } = await before.issue({ service: 'web' });
  await before.issue({ service: 'web' });
  await before.stop();
  const settings = 'verification_keys: [{ env: OLD_KEY }]';
  const rotated = await startGateway(t, { services, ledger, signingKey: second, settings, env: { OLD_KEY: first } });
  const renewed = await rotated.operator('POST', `/v1/grants/${id}/renew`, {
    durationSeconds: 3600,
    reason: 'longer',
    by: 'root',
  });
  t.equal(renewed.status, 200, JSON.stringify(renewed.body));
  t.equal(await kidOfGrant(rotated, id), kidOf(second));
  await rotated.stop();
  const after = await startGateway(t, { services, ledger, signingKey: second });
  t.equal(await status(after, handle), '200', 'and outlives the old key, though another grant came after it');
});
