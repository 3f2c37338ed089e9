import { spawnSync } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { check, type PolicyTools } from '../../src/cli/check.js';
import { testPolicy } from '../../src/cli/policy.js';
import { loadProtocols } from '../../src/protocols.js';
import { letters, SERVICE, writeConfig } from '../config/fixture.js';
import { validBetween } from '../support/certificate.js';

const SAMPLES = { 'samples.env': 'LETTERS_PASSWORD=hunter2\n' };

function tools(data: string): PolicyTools {
  return { loadProtocols: async () => [letters], dataDirectory: () => data };
}

t.test('check says how many services there are, with the samples filling in the environment', async (t) => {
  const config = writeConfig(t.testdir(SAMPLES), { 'services/letters-a.yaml': SERVICE });
  t.strictSame(await check({ config }, tools(config)), { text: 'ok: 1 service', exitCode: 0 });
  const { text } = await check({ config, json: true }, tools(config));
  t.strictSame(JSON.parse(text), { ok: true, services: ['letters-a'], problems: [], warnings: [] });
});

t.test('check warns of a certificate that has expired, or is not valid yet, and of no other', async (t) => {
  const config = writeConfig(t.testdir(SAMPLES), { 'services/letters-a.yaml': SERVICE });
  appendFileSync(`${config}/daypass.yaml`, 'tls: { cert: { file: cert.pem }, key: { file: key.pem } }\n');
  const past = {
    from: '20240101000000Z',
    to: '20240102000000Z',
    text: /\nwarning: the TLS certificate has expired: Jan +2 .* 2024 GMT$/,
  };
  const future = {
    from: '20480101000000Z',
    to: '20480102000000Z',
    text: /\nwarning: the TLS certificate is not valid yet: Jan +1 .* 2048 GMT$/,
  };
  for (const { from, to, text } of [past, future, { from: past.from, to: future.to, text: /^ok: 1 service$/ }]) {
    const pair = await validBetween(from, to);
    for (const [name, pem] of Object.entries(pair)) writeFileSync(`${config}/${name}.pem`, pem);
    t.match(await check({ config }, tools(config)), { text, exitCode: 0 });
  }
});

t.test('and of a client certificate that a service is shown', async (t) => {
  const service = `
service: shop
protocol: http
lane: code
owner: group:shop
upstream: { url: "https://shop.internal", tls: { client: { cert: { file: cert.pem }, key: { file: key.pem } } } }
roles:
  viewer: { allow: [GET /**] }
grants: { max_duration: 8h, max_renewals: 1 }
`;
  const config = writeConfig(t.testdir(SAMPLES), { 'services/shop.yaml': service });
  const asked = { loadProtocols, dataDirectory: () => config };
  const pair = await validBetween('20240101000000Z', '20240102000000Z');
  for (const [name, pem] of Object.entries(pair)) writeFileSync(`${config}/${name}.pem`, pem);
  const text = /^ok: 1 service\nwarning: the client certificate of shop has expired: Jan +2 .* 2024 GMT$/;
  t.match(await check({ config }, asked), { text, exitCode: 0 });
});

t.test('check prints every problem with its place and an indented hint, and fails', async (t) => {
  const broken = SERVICE.replace('lane:', 'lanes:').replace('[c]', '[cc]');
  const config = writeConfig(t.testdir(SAMPLES), { 'services/letters-a.yaml': broken });
  const file = `${config}/services/letters-a.yaml`;
  const { text, exitCode } = await check({ config }, tools(config));
  t.equal(exitCode, 1);
  t.strictSame(text.split('\n'), [
    `${file}:1:1  missing key "lane"`,
    `${file}:3:1  unknown key "lanes"`,
    '    did you mean "lane"?',
    `${file}:14:13  not a letter: cc`,
    '    one letter',
  ]);
  const json = await check({ config, json: true }, tools(config));
  t.match(JSON.parse(json.text), { ok: false, problems: [{ file, line: 1, column: 1 }, { line: 3 }, { line: 14 }] });
});

t.test('--data names another place for the samples', async (t) => {
  const config = writeConfig(t.testdir({ data: SAMPLES }), { 'services/letters-a.yaml': SERVICE });
  t.equal((await check({ config }, tools(config))).exitCode, 1);
  t.equal((await check({ config, data: `${config}/data` }, tools(config))).exitCode, 0);
});

t.test('policy test answers with the rule that decided', async (t) => {
  const config = writeConfig(t.testdir(SAMPLES), { 'services/letters-a.yaml': SERVICE });
  const ask = (words: string[], options: { role?: string; json?: boolean } = {}, service = 'letters-a') =>
    testPolicy({ service, words }, { config, ...options }, tools(config));

  t.strictSame(await ask(['c'], { role: 'writer' }), {
    text: 'allow  letters-a as writer\n  rule     allow c',
    exitCode: 0,
  });
  const denied = await ask(['c']);
  t.equal(denied.exitCode, 1);
  t.strictSame(denied.text.split('\n'), [
    'deny  letters-a as reader',
    '  rule     no rule allows it',
    '  reason   out_of_scope',
    '  message  The letter c is not allowed.',
    '  hint     Ask for another role.',
  ]);
  const json = JSON.parse((await ask(['c'], { json: true })).text);
  t.match(json, {
    service: 'letters-a',
    role: 'reader',
    outcome: 'deny',
    reason: 'out_of_scope',
    version: /^[0-9a-f]{64}$/,
  });
  t.match(await ask(['!']), { exitCode: 1, text: /^deny .*\n.*\n {2}reason +unknown_effect/ });
});

t.test('policy test says what is wrong with the question', async (t) => {
  const config = writeConfig(t.testdir(SAMPLES), { 'services/letters-a.yaml': SERVICE });
  const ask = (service: string, role: string, words: string[]) =>
    testPolicy({ service, words }, { config, role }, tools(config));
  t.strictSame(await ask('letters-b', 'reader', ['a']), {
    text: 'no service is called "letters-b"\n    did you mean "letters-a"?',
    exitCode: 2,
  });
  t.match(await ask('letters-a', 'owner', ['a']), {
    text: /no role of letters-a .*\n.*there are: reader, writer/,
    exitCode: 2,
  });
  t.strictSame(await ask('letters-a', 'reader', ['a', 'b']), { text: 'expected one letter', exitCode: 2 });
});

t.test('policy test refuses to answer from a configuration that would not be served', async (t) => {
  const config = writeConfig(t.testdir(SAMPLES), { 'services/letters-a.yaml': SERVICE.replace('lane:', 'lanes:') });
  const answer = await testPolicy({ service: 'letters-a', words: ['a'] }, { config }, tools(config));
  t.match(answer, { exitCode: 1, text: /:3:1 {2}unknown key "lanes"/ });
});

/** Runs a command in a process of its own, as `daypass` would. */
function run(directory: string, args: readonly string[]) {
  const from = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const script = `
    import { Command } from 'commander';
    import { checkCommand } from ${from('../../src/cli/check.js')};
    import { policyCommand } from ${from('../../src/cli/policy.js')};
    import { letters } from ${from('../config/fixture.js')};
    const tools = { loadProtocols: async () => [letters], dataDirectory: () => ${JSON.stringify(directory)} };
    const program = new Command('daypass').addCommand(checkCommand(tools)).addCommand(policyCommand(tools));
    await program.parseAsync(process.argv.slice(1), { from: 'user' });
  `;
  const options = { encoding: 'utf8', timeout: 30_000 } as const;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script, '--', ...args],
    options,
  );
  return { status, stdout, stderr };
}

t.test('the commands print their answer and end with its exit code', async (t) => {
  const config = writeConfig(t.testdir(SAMPLES), { 'services/letters-a.yaml': SERVICE });
  t.match(run(config, ['check', '--config', config]), { status: 0, stdout: 'ok: 1 service\n' });
  const ask = ['policy', 'test', 'letters-a', '--role', 'reader', '--config', config];
  t.match(run(config, [...ask, 'a']), { status: 0, stdout: /^allow {2}letters-a as reader\n/ });
  t.match(run(config, [...ask, 'c']), { status: 1, stdout: /^deny {2}letters-a as reader\n/ });
  t.match(run(config, [...ask, 'a', 'b']), { status: 2, stdout: '', stderr: 'expected one letter\n' });
});
