import t from 'tap';
import { Smtp } from '../../src/alerts/smtp.js';
import type { SmtpTarget } from '../../src/config/notices.js';
import { selfSigned } from '../support/certificate.js';
import { waitUntil } from '../support/wait.js';
import { mailServer, startOutbox } from './fixture.js';

const FROM = 'daypass@gw.example.com';
const PLAIN = { from: FROM, tls: 'none', ca: undefined, user: undefined, password: undefined } as const;

function smtp(target: Pick<SmtpTarget, 'server'> & Partial<SmtpTarget>, within = 5_000): Smtp {
  return new Smtp({ ...PLAIN, ...target }, {}, within);
}

function header(text: string | undefined, name: string): string | undefined {
  const head = (text ?? '').split('\r\n\r\n')[0]?.replace(/\r\n[ \t]+/g, ' ');
  return head?.split('\r\n').find((line) => line.toLowerCase().startsWith(`${name}:`));
}

t.test('people and members of a group are written to, each once, and whoever has no address is listed', async (t) => {
  const { gateway, tell, deliveries, database } = await startOutbox(t, ['smtp']);
  const { mails, server } = await mailServer(t);
  await database.query(
    `insert into daypass.people (subject, kind, source, name, email, groups, created_at, created_by, closed_at) values
      ('ada', 'employee', 'local', 'Ada', 'ada@example.com', '{leads}', now(), 'root', null),
      ('bob', 'employee', 'local', 'Bob', 'bob@example.com', '{leads}', now(), 'root', now()),
      ('eve', 'employee', 'local', 'Eve', 'eve@example.com, all@example.com', '{leads}', now(), 'root', null)`,
  );
  await tell({ person: 'kim' }, { people: ['ada', 'bob', 'kim@example.com'], group: 'group:leads' });
  gateway(smtp({ server }));
  await waitUntil('two were written to', () => mails.length === 2);
  t.same(mails.map(({ to }) => to).sort(), [['ada@example.com'], ['kim@example.com']]);
  await waitUntil('all is noted', async () => (await deliveries()).every(({ state }) => state !== 'waiting'));
  t.match(await deliveries(), [
    { recipient: 'ada@example.com', state: 'sent' },
    { recipient: 'eve', state: 'failed', error: /address/ },
    { recipient: 'kim@example.com', state: 'sent' },
  ]);
  t.equal(mails[0]?.from, FROM);
});

t.test('no data reaches the head of a message', async (t) => {
  const { gateway, tell } = await startOutbox(t, ['smtp']);
  const { mails, server } = await mailServer(t);
  const person = 'kim\r\nBcc: all@example.com\r\n\r\nforged';
  await tell(
    { person, service: 'orders\u2028X-Forged: yes', what: 'a\r\n.\r\nMAIL FROM:<x@example.com>' },
    { people: ['a@example.com'] },
  );
  gateway(smtp({ server }));
  await waitUntil('it was written', () => mails.length === 1);
  t.same(mails[0]?.to, ['a@example.com']);
  t.equal(header(mails[0]?.text, 'bcc'), undefined);
  t.equal(header(mails[0]?.text, 'x-forged'), undefined);
  t.equal(header(mails[0]?.text, 'auto-submitted'), 'Auto-Submitted: auto-generated');
});

t.test('a message that is sent again has the same id, also when the first may have arrived', async (t) => {
  const { gateway, tell, deliveries, clock } = await startOutbox(t, ['smtp']);
  let busy = true;
  const { mails, server } = await mailServer(t, {
    onRcptTo: (_address, _session, done) =>
      done(busy ? Object.assign(new Error('later'), { responseCode: 451 }) : null),
  });
  await tell({}, { people: ['a@example.com'] });
  const first = gateway(smtp({ server }));
  await waitUntil('it was refused', async () => (await deliveries())[0]?.error !== null);
  t.match(await deliveries(), [{ unsure: false, error: /later/ }]);
  await first.stop();
  busy = false;
  clock.now += 2_000;
  const second = gateway(smtp({ server }));
  await waitUntil('it has arrived', async () => (await deliveries())[0]?.state === 'sent');
  await second.stop();
  const message = { id: '0198', kind: 'test', at: clock.now, data: {}, recipient: 'a@example.com' };
  for (const repeated of [false, true]) await smtp({ server }).send({ ...message, repeated });
  const [, one, two] = mails.map(({ text }) => text);
  t.equal(header(one, 'message-id'), 'Message-ID: <0198.notice@gw.example.com>');
  t.equal(header(two, 'message-id'), header(one, 'message-id'));
  t.match(two, /Sent again/);
});

t.test(
  'STARTTLS is demanded, its certificate believed only when it is known, and the password given behind it',
  async (t) => {
    const { cert, key } = await selfSigned();
    const login = { user: 'daypass', password: 'hunter2' };
    const secure = await mailServer(t, {
      ...{ cert, key, disabledCommands: [], authOptional: false },
      onAuth: ({ username, password }, _session, done) =>
        password === 'hunter2' ? done(null, { user: username ?? '' }) : done(new Error('wrong')),
    });
    const message = { id: '1', kind: 'test', at: 0, data: {}, recipient: 'a@example.com', repeated: false };
    const starttls = { tls: 'starttls', ...login } as const;
    await smtp({ server: secure.server, ca: cert, ...starttls }).send(message);
    t.match(secure.mails, [{ secure: true, user: 'daypass' }]);
    await t.rejects(smtp({ server: secure.server, ...starttls }).send(message), /certificate/);
    const plain = await mailServer(t, { authOptional: true });
    await t.rejects(smtp({ server: plain.server, ...starttls }).send(message), /STARTTLS/i);
    t.same(plain.mails, [], 'nothing is said in the clear');
  },
);
