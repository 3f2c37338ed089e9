import t from 'tap';
import { loadConfig } from '../../src/config/load.js';
import { selfSigned } from '../support/certificate.js';
import { GATEWAY, writeConfig } from './fixture.js';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

function load(directory: string, audit: string, env: Readonly<Record<string, string>> = { HOOK: SECRET }) {
  return loadConfig(writeConfig(directory, { 'daypass.yaml': `${GATEWAY}audit: ${audit}\n` }), [], env);
}

function problems(directory: string, audit: string, env?: Readonly<Record<string, string>>): string[] {
  return load(directory, audit, env).problems.map(({ message }) => message);
}

t.test('the audit log is streamed to whom the file names, and to nobody without it', async (t) => {
  const { cert } = await selfSigned();
  const directory = t.testdir({ 'siem.pem': cert });
  const audit = `
  webhook: { url: https://siem.example.com/daypass, secret: { env: HOOK } }
  syslog: { address: siem.example.com:6514, protocol: tls, ca: { file: siem.pem } }`;
  t.match(load(directory, audit), {
    gateway: {
      audit: {
        webhook: { url: { href: 'https://siem.example.com/daypass' }, secret: SECRET },
        syslog: { address: { host: 'siem.example.com', port: 6514 }, protocol: 'tls', ca: cert.trim() },
      },
    },
  });
  t.match(load(t.testdir({}), '{}'), { gateway: { audit: { webhook: undefined, syslog: undefined } } });
});

t.test('a webhook off loopback needs TLS, and a secret that is worth one', async (t) => {
  const webhook = (url: string, secret = '{ env: HOOK }') => `{ webhook: { url: "${url}", secret: ${secret} } }`;
  t.same(problems(t.testdir({}), webhook('http://siem.example.com/x')), ['a webhook off loopback needs TLS']);
  t.same(problems(t.testdir({}), webhook('http://127.0.0.1.example.com/x')), ['a webhook off loopback needs TLS']);
  for (const url of ['http://127.0.0.1:9000/x', 'http://[::1]:9000', 'http://localhost:9000'])
    t.same(problems(t.testdir({}), webhook(url)), [], url);
  t.same(problems(t.testdir({}), webhook('https://user:pw@siem.example.com/')), ['not a web address']);
  for (const secret of ['secret', 'whsec_c2hvcnQ=', `whsec_${'A'.repeat(200)}`, `${SECRET}\n`])
    t.same(problems(t.testdir({}), webhook('https://a.example/'), { HOOK: secret }), ['not a webhook secret'], secret);
  t.match(problems(t.testdir({}), webhook('https://a.example/', SECRET)), [/a secret is named here, never written/]);
});

t.test('a syslog receiver has an address and one of three protocols', async (t) => {
  t.same(problems(t.testdir({}), '{ syslog: { address: "siem:514", protocol: udp } }'), []);
  t.equal(problems(t.testdir({}), '{ syslog: { address: "siem:514", protocol: http } }').length, 1);
  t.equal(problems(t.testdir({}), '{ syslog: { address: "siem:0", protocol: udp } }').length, 1);
  t.equal(problems(t.testdir({}), '{ syslog: { address: "siem:514" } }').length, 1);
  t.equal(problems(t.testdir({}), '{ kafka: {} }').length, 1);
  const { cert } = await selfSigned();
  const plain = '{ syslog: { address: "siem:514", protocol: tcp, ca: { file: siem.pem } } }';
  t.same(problems(t.testdir({ 'siem.pem': cert }), plain), ['a certificate authority is for TLS']);
});
