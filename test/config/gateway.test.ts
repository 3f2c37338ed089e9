import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load.js';
import { GATEWAY, writeConfig } from './fixture.js';

type Env = Readonly<Record<string, string>>;

const ED25519 = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const P256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString();

function load(directory: string, gateway: string, env: Env = {}) {
  return loadConfig(writeConfig(directory, { 'daypass.yaml': gateway }), [], env);
}

function served(directory: string, gateway: string, env: Env = {}) {
  const loaded = load(directory, gateway, env);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.gateway;
}

function problems(directory: string, gateway: string, env: Env = {}): string[] {
  return load(directory, gateway, env).problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
}

function selfSigned(directory: string, kind = 'ed25519'): { cert: string; key: string } {
  const pair = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') };
  const options = ['-newkey', kind, '-nodes', '-days', '1', '-subj', '/CN=gw.test'];
  execFileSync('openssl', ['req', '-x509', ...options, '-keyout', pair.key, '-out', pair.cert], { stdio: 'ignore' });
  return pair;
}

t.test('HTTP off loopback needs TLS, wherever the address comes from', async (t) => {
  const refusal = '2:17 HTTP off loopback needs TLS';
  t.strictSame(problems(t.testdir({}), GATEWAY.replace('127.0.0.1:8080', '0.0.0.0:8080')), [refusal]);
  t.strictSame(problems(t.testdir({}), GATEWAY.replace('127.0.0.1:8080', '"[::]:8080"')), [refusal]);
  const byEnv = GATEWAY.replace('127.0.0.1:8080', '{ env: HTTP_AT, default: 127.0.0.1:8080 }');
  t.strictSame(problems(t.testdir({}), byEnv, { HTTP_AT: '10.0.0.1:80' }), [refusal]);
  t.strictSame(served(t.testdir({}), byEnv, { HTTP_AT: '[::1]:80' }).listen.http, { host: '::1', port: 80 });
  t.strictSame(served(t.testdir({}), byEnv, { HTTP_AT: '' }).listen.http, { host: '127.0.0.1', port: 8080 });
  const directory = t.testdir({});
  selfSigned(directory);
  const tls = (more: string) => `${byEnv}tls: { cert: { file: cert.pem }, key: { file: key.pem }${more} }\n`;
  t.match(served(directory, tls(''), { HTTP_AT: '0.0.0.0:443' }), { tls: { http: true } });
  t.strictSame(problems(directory, tls(', http: false'), { HTTP_AT: '0.0.0.0:443' }), [refusal]);
});

t.test('Postgres off loopback needs TLS, even when something else is wrong as well', async (t) => {
  const open = GATEWAY.replace('127.0.0.1:6432', '0.0.0.0:6432');
  t.strictSame(problems(t.testdir({}), open), ['2:43 Postgres off loopback needs TLS']);
  t.strictSame(problems(t.testdir({}), open.replace('127.0.0.1:8080', 'nowhere')), [
    '2:17 not an address',
    '2:36 Postgres off loopback needs TLS',
  ]);
  const directory = t.testdir({});
  selfSigned(directory);
  const secured = served(directory, `${open}tls: { cert: { file: cert.pem }, key: { file: key.pem } }\n`);
  t.match(secured.tls, { cert: /BEGIN CERTIFICATE/, key: /BEGIN PRIVATE KEY/ });
});

t.test('a certificate, its key, and whether they belong together are looked at when the file is read', async (t) => {
  const directory = t.testdir({ 'other.pem': ED25519, 'text.pem': 'hello' });
  selfSigned(directory);
  const tls = (cert: string, key: string) => `${GATEWAY}tls: { cert: { file: ${cert} }, key: { file: ${key} } }\n`;
  t.strictSame(problems(directory, tls('text.pem', 'text.pem')), [
    '3:14 not a PEM certificate',
    '3:39 not an unencrypted PEM private key',
  ]);
  t.strictSame(problems(directory, tls('cert.pem', 'other.pem')), ['3:6 the key does not belong to the certificate']);
  selfSigned(directory, 'rsa:512');
  t.match(problems(directory, tls('cert.pem', 'key.pem')), [/^3:6 TLS does not take this certificate/]);
  for (const curve of ['secp256k1', 'secp224r1', 'brainpoolP256r1', 'sect283r1']) {
    const [parameters, pair] = [`${directory}/curve.pem`, tls('cert.pem', 'key.pem')];
    execFileSync('openssl', ['ecparam', '-name', curve, '-out', parameters]);
    selfSigned(directory, `ec:${parameters}`);
    t.match(problems(directory, pair), [/^3:6 with this key no TLS handshake works: take RSA, or a curve/], curve);
  }
});

t.test('two listeners may not share an address, but each may ask for a free port', async (t) => {
  const same = GATEWAY.replace('6432', '8080');
  t.strictSame(problems(t.testdir({}), same), ['2:9 two listeners share one address']);
  const free = GATEWAY.replace('8080', '0').replace('6432', '0');
  t.equal(served(t.testdir({}), free).listen.postgres.port, 0);
});

t.test(
  'database and redis that are not set mean the embedded ones; what is set must be a connection string',
  async (t) => {
    const both = `${GATEWAY}database: { env: DATABASE_URL }\nredis: { env: REDIS_URL }\n`;
    const without = served(t.testdir({}), both, { DATABASE_URL: '' });
    t.strictSame([without.database, without.redis], [undefined, undefined]);
    t.strictSame(problems(t.testdir({}), both, { DATABASE_URL: 'mysql://x', REDIS_URL: 'localhost' }), [
      '3:11 not a PostgreSQL connection string',
      '4:8 not a Redis connection string',
    ]);
    t.match(problems(t.testdir({}), `${GATEWAY}database: { file: absent }\n`), [
      /^3:11 secret file absent cannot be read/,
    ]);
    t.strictSame(problems(t.testdir({}), `${GATEWAY}redis: redis://user:hunter2@host\n`), [
      '3:8 a secret is named here, never written',
    ]);
  },
);

t.test('a gateway with a database of its own needs a signing key that is there', async (t) => {
  const env = { DATABASE_URL: 'postgres://u:p@db/daypass', KEY: ED25519, WRONG: P256 };
  const own = `${GATEWAY}database: { env: DATABASE_URL }\n`;
  const needed = /a gateway with its own database needs a signing key/;
  t.match(problems(t.testdir({}), own, env), [needed]);
  t.match(problems(t.testdir({}), `${own}signing_key: { file: grant.pem }\n`, env), [needed]);
  t.strictSame(problems(t.testdir({}), `${own}signing_key: { env: WRONG }\n`, env), [
    '4:14 not an Ed25519 private key in PEM',
  ]);
  const byEnv = served(t.testdir({}), `${own}signing_key: { env: KEY }\n`, env);
  t.strictSame([byEnv.database, byEnv.signingKey], [env.DATABASE_URL, { pem: ED25519 }]);
  const byFile = served(t.testdir({ 'grant.pem': ED25519 }), `${own}signing_key: { file: grant.pem }\n`, env);
  t.strictSame(byFile.signingKey, { pem: ED25519.trimEnd() });
});

t.test('keys of before may be public or private, and are Ed25519 keys', async (t) => {
  const publicKey = createPublicKey(ED25519).export({ type: 'spki', format: 'pem' }).toString();
  const env = { PRIVATE: ED25519, PUBLIC: publicKey, WRONG: P256, TEXT: 'hello' };
  const keys = (...names: string[]) =>
    `${GATEWAY}verification_keys: [${names.map((name) => `{ env: ${name} }`).join(', ')}]\n`;
  t.strictSame(served(t.testdir({}), keys('PRIVATE', 'PUBLIC'), env).verificationKeys, [ED25519, publicKey]);
  t.strictSame(served(t.testdir({}), GATEWAY).verificationKeys, []);
  const refusal = 'not an Ed25519 key in PEM';
  t.strictSame(problems(t.testdir({}), keys('WRONG', 'TEXT'), env), [`3:21 ${refusal}`, `3:37 ${refusal}`]);
  t.match(problems(t.testdir({}), keys('ABSENT'), env), [/ABSENT is not set/]);
});

t.test('with the embedded database a signing key may still have to be made', async (t) => {
  const directory = t.testdir({});
  const { signingKey } = served(directory, `${GATEWAY}signing_key: { file: grant.pem }\n`);
  t.strictSame(signingKey, { create: join(directory, 'grant.pem') });
});

t.test('staleness and drain may be nothing', async (t) => {
  const read = served(t.testdir({}), `${GATEWAY}staleness: 0\ndrain: 0s\n`);
  t.strictSame([read.stalenessSeconds, read.drainSeconds], [0, 0]);
  t.strictSame(served(t.testdir({}), `${GATEWAY}staleness: 2m\n`).stalenessSeconds, 120);
  t.strictSame(problems(t.testdir({}), `${GATEWAY}staleness: 05s\ndrain: 99999999d\n`), [
    '3:12 not a duration',
    '4:8 not a duration',
  ]);
});

t.test('a directory is named by its issuer, over TLS unless it is on this machine', async (t) => {
  const oidc = (issuer: string, more = '') =>
    `${GATEWAY}oidc: { issuer: "${issuer}", client_id: daypass, client_secret: { env: OIDC }${more} }\n`;
  const env = { OIDC: 'hush' };
  t.strictSame(served(t.testdir({}), oidc('https://id.example.com/realms/x'), env).oidc, {
    ...{ issuer: 'https://id.example.com/realms/x', clientId: 'daypass', clientSecret: 'hush' },
    ...{ scopes: ['openid', 'profile', 'email'], groupsClaim: 'groups' },
    ...{ subjectClaim: 'preferred_username', nameClaim: 'name' },
  });
  t.strictSame(served(t.testdir({}), oidc('http://[::1]:9000', ', scopes: [groups]'), env).oidc?.scopes, [
    'openid',
    'groups',
  ]);
  for (const issuer of ['http://id.example.com', 'https://u@id.example.com', 'https://id.example.com/?x', 'id'])
    t.match(problems(t.testdir({}), oidc(issuer), env), [/not an issuer/]);
  t.match(problems(t.testdir({}), oidc('https://id.example.com')), [/OIDC is not set/]);
});

t.test('duties are given to groups, and to nobody unless they are', async (t) => {
  t.strictSame(served(t.testdir({}), GATEWAY).duties, { operator: [], reviewer: [] });
  const given = `${GATEWAY}duties: { operator: [group:platform] }\n`;
  t.strictSame(served(t.testdir({}), given).duties, { operator: ['platform'], reviewer: [] });
  t.match(problems(t.testdir({}), `${GATEWAY}duties: { operator: [platform] }\n`), [/not a group/]);
  t.match(problems(t.testdir({}), `${GATEWAY}duties: { admin: [group:platform] }\n`), [/admin/]);
});

t.test('alerts are raised from thresholds that the file may move, and each rule may be off', async (t) => {
  t.match(served(t.testdir({}), GATEWAY).alerts, {
    window: 3_600,
    denials: { enabled: true, count: 20, within: 300 },
    volume: { times: 10, rows: 10_000, bytes: 50 * 1024 ** 2 },
  });
  const given = `${GATEWAY}alerts: { denials: { count: 5, within: 1m }, ddl: { enabled: false } }\n`;
  t.match(served(t.testdir({}), given).alerts, {
    denials: { enabled: true, count: 5, within: 60 },
    ddl: { enabled: false },
  });
  t.match(problems(t.testdir({}), `${GATEWAY}alerts: { denials: { count: 1 } }\n`), [/not a number of this rule/]);
  t.match(problems(t.testdir({}), `${GATEWAY}alerts: { ddl: { enabled: maybe } }\n`), [/not a switch/]);
  t.match(problems(t.testdir({}), `${GATEWAY}alerts: { volume: { bytes: 5 } }\n`), [/not a size/]);
  t.match(problems(t.testdir({}), `${GATEWAY}alerts: { denial: {} }\n`), [/denial/]);
});

t.test(
  'access that lasts is reviewed after a week, then every thirty days, unless the file says otherwise',
  async (t) => {
    const week = 7 * 86_400;
    t.same(served(t.testdir({}), GATEWAY).reviews, {
      ...{ firstSeconds: week, everySeconds: 30 * 86_400, answerWithinSeconds: week },
    });
    const given = `${GATEWAY}reviews: { first: 3d, answer_within: 2d }\n`;
    t.match(served(t.testdir({}), given).reviews, { firstSeconds: 3 * 86_400, answerWithinSeconds: 2 * 86_400 });
    t.match(problems(t.testdir({}), `${GATEWAY}reviews: { first: 0 }\n`), [/not a duration/]);
  },
);

t.test('proxies are listed by their networks, never everybody, and say how they tell', async (t) => {
  const listed = (from: string, client = 'x-forwarded-for') =>
    problems(t.testdir({}), `${GATEWAY}proxies: { http: { from: [${from}], client: ${client} } }\n`);
  for (const network of ['127.0.0.1', '10.0.0.0/8', '"::1"', '"2001:db8::/32"', '10.0.0.7/8'])
    t.strictSame(listed(network), [], network);
  const wrong = [
    '0.0.0.0/0',
    '"::/0"',
    'proxy.internal',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '"::ffff:10.0.0.0/104"',
    '10.0.0.0/',
  ];
  for (const network of wrong) t.strictSame(listed(network), ['3:27 not a network of proxies'], network);
  t.match(listed('127.0.0.1', 'x-real-ip'), [/not how a proxy tells who its client is/]);
  t.match(listed(''), [/./], 'a list of nobody');
  const { proxies } = served(
    t.testdir({}),
    `${GATEWAY}proxies: { postgres: { from: [10.0.0.0/8, "2001:db8::/32"] } }\n`,
  );
  const known = (address: string) => proxies.postgres?.from.has(address);
  t.strictSame(
    ['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::7', '11.0.0.1', '::ffff:11.0.0.1', 'fe80::1%eth0', ''].map(known),
    [...[true, true, true], ...[false, false, false, false]],
  );
  t.equal(proxies.http, undefined);
});

t.test('a public address is one of the gateway’s own domain, and of TLS off localhost', async (t) => {
  const asked = (url: string, domain = 'gw.example.com') =>
    problems(t.testdir({}), `${GATEWAY.replace('localhost', domain)}public: { url: "${url}" }\n`);
  for (const url of ['https://gw.example.com', 'https://gw.example.com:8443', 'https://GW.example.com:443/'])
    t.strictSame(asked(url), [], url);
  t.strictSame(asked('http://localhost:9090', 'localhost'), []);
  t.strictSame(asked('https://localhost:9443', 'localhost'), []);
  const unfit = [
    'http://gw.example.com',
    'https://example.com',
    'https://x.gw.example.com',
    'https://gw.example.com.evil.test',
  ];
  for (const url of unfit) t.match(asked(url), [/not an address that browsers could reach/], url);
  t.match(asked('https://gw.example.com/base'), [/not an origin/]);
  for (const url of ['https://a@gw.example.com', 'gw.example.com', 'https://gw.example.com?x', 'ftp://gw.example.com'])
    t.match(asked(url), [/not a web address/], url);
  const settings = 'public: { url: "https://localhost:443", postgres: "db.example.com:5432" }\n';
  t.strictSame(served(t.testdir({}), `${GATEWAY}${settings}`).public, {
    ...{ url: 'https://localhost', postgres: { host: 'db.example.com', port: 5432 } },
  });
});
