import t from 'tap';
import { TEXTS } from '../../src/alerts/texts.js';
import { loadConfig } from '../../src/config/load.js';
import { NOTICE_FIELDS, NOTICE_KINDS, PLACEHOLDER } from '../../src/config/notice-kinds.js';
import { GATEWAY, writeConfig } from './fixture.js';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const ENV = { HOOK: SECRET, SLACK: 'https://hooks.example.com/services/T0/B0/x', PASSWORD: 'hunter2', BAD: 'ftp://x' };

function load(directory: string, notices: string) {
  return loadConfig(writeConfig(directory, { 'daypass.yaml': `${GATEWAY}notices: ${notices}\n` }), [], ENV);
}

function problems(directory: string, notices: string) {
  return load(directory, notices).problems.map(({ message, hint = '' }) => `${message} | ${hint}`);
}

t.test(
  'channels are named in the file, their secrets elsewhere, and STARTTLS is demanded off this machine',
  async (t) => {
    const notices = `
  slack: { url: { env: SLACK }, kinds: [alert] }
  webhook: { url: https://siem.example.com/hook, secret: { env: HOOK } }
  smtp: { server: mail.example.com:587, from: daypass@example.com, user: daypass, password: { env: PASSWORD } }
  templates: { request.refused: { text: "No: {{ reason }}" } }`;
    t.match(load(t.testdir({}), notices), {
      gateway: {
        notices: {
          slack: { url: ENV.SLACK, format: 'slack', kinds: ['alert'] },
          webhook: { url: { href: 'https://siem.example.com/hook' }, secret: SECRET, kinds: NOTICE_KINDS },
          smtp: { server: { host: 'mail.example.com', port: 587 }, tls: 'starttls', password: 'hunter2' },
          templates: { 'request.refused': { text: 'No: {{ reason }}', subject: undefined } },
        },
      },
    });
    const local = load(t.testdir({}), '{ smtp: { server: 127.0.0.1:25, from: daypass@example.com } }');
    t.match(local, { gateway: { notices: { smtp: { tls: 'none' }, slack: undefined } } });
  },
);

t.test('a text that names an unknown field is refused with the fields that there are', async (t) => {
  const told = (templates: string) => problems(t.testdir({}), `{ templates: ${templates} }`);
  t.match(told('{ account.ending: { text: "{{person}} {{nmae}}" } }'), [
    /unknown field "nmae" \| account\.ending has: \{\{person}}, \{\{name}}, .*\{\{days}}/,
  ]);
  t.match(told('{ alert: { subject: "{{what" } }'), [/not a placeholder/]);
  t.match(told('{ alert: { subject: "{{}}" } }'), [/unknown field ""/]);
  t.match(told('{ alert: { subject: "{{__proto__}}" } }'), [/unknown field/]);
  t.match(told('{ alert: { subject: "a\\nBcc: b" } }'), [/one line/]);
  t.match(told('{ request.wating: { text: x } }'), [
    /unknown key "request\.wating" \| did you mean "request\.waiting"/,
  ]);
});

t.test('what no channel can be is refused', async (t) => {
  const told = (notices: string) => problems(t.testdir({}), notices);
  t.match(told('{ slack: { url: { env: BAD } } }'), [/not the address of an incoming webhook/]);
  t.match(told('{ slack: { url: { env: SLACK }, format: markdown } }'), [/not a format \| slack or mattermost/]);
  t.match(told('{ slack: { url: { env: SLACK }, kinds: [alerts] } }'), [/not a kind of notice \| there are: .*alert/]);
  t.match(told('{ webhook: { url: http://siem.example.com, secret: { env: HOOK } } }'), [/needs TLS/]);
  const smtp = (more: string) => told(`{ smtp: { server: "mail.example.com:25", ${more} } }`);
  t.match(smtp('from: a@b.example, tls: none'), [/needs TLS/]);
  t.match(smtp('from: "a@b.example, c@d.example"'), [/not an e-mail address/]);
  t.match(smtp('from: a@b.example, user: me'), [/belong together/]);
});

t.test('the built-in texts name known fields alone', async (t) => {
  for (const kind of NOTICE_KINDS) {
    const { subject, text } = TEXTS[kind];
    const fields: readonly string[] = NOTICE_FIELDS[kind];
    const named = [...`${subject} ${text}`.matchAll(PLACEHOLDER)].map(([, field]) => field);
    t.same(
      named.filter((field) => !fields.includes(field ?? '')),
      [],
      kind,
    );
  }
});
