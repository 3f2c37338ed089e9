import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { openAccessRequests } from '../../src/access/engagements.js';
import { tellOfGrants } from '../../src/alerts/grant-notices.js';
import { Outbox } from '../../src/alerts/outbox.js';
import { announced } from '../../src/alerts/request-notices.js';
import { slackText } from '../../src/alerts/slack.js';
import { NOTICE_FIELDS } from '../../src/config/notice-kinds.js';
import type { Grant } from '../../src/grant/grant.js';
import { ASKED, DAY, MONDAY, root, serviceText, startAccess } from '../access/fixture.js';
import type { Database } from '../support/postgres.js';

const MINUTE = 60_000;
const LONG = serviceText({ grants: 'max_duration: 3d, max_renewals: 0' });
const GLASS = serviceText({ access: 'approvals: 1, break_glass: { roles: [retrier], max_duration: 30m }' });

/** Access whose acts are told of, and what was told, the first one first. */
async function startTelling(t: Test, Told = Outbox, texts = [GLASS]) {
  const access = await startAccess(t, { texts });
  const { parts, database, clock } = access;
  // The ledger of this test began before its Monday, whatever day it is.
  await database.query('update daypass.notices_since set at = $1', [new Date(MONDAY - DAY)]);
  const real = new Outbox(clock);
  const audit = announced(parts.audit, {
    ...{ outbox: new Told(clock), policies: parts.policies, clock, log: parts.log },
    address: () => 'https://gw.example.com',
    connect: (service, principal) => [`PGPASSWORD=$HANDLE psql "dbname=${service} user=${principal}"`],
  });
  const engagements = openAccessRequests({ ...parts, audit });
  t.teardown(() => engagements.stop());
  const tick = () => tellOfGrants({ pool: parts.pool, outbox: real, policies: parts.policies, clock });
  const told = () =>
    database.query('select kind, data, people, to_group, dedupe from daypass.notices order by at, dedupe');
  return { ...access, requests: engagements.requests, told, tick };
}

function kinds(rows: readonly Record<string, unknown>[]) {
  return rows.map(({ kind }) => kind);
}

t.test('a request is told of with each act on it: to the approvers, then to who asked', async (t) => {
  const { requests, as, told, clock } = await startTelling(t);
  const [kim, ada] = [await as('kim'), await as('ada')];
  const { id } = await requests.create(kim, ASKED);
  await t.rejects(requests.decide(await as('eve'), id, { outcome: 'approve', comment: 'mine' }));
  clock.now += 1;
  await requests.decide(ada, id, { outcome: 'approve', comment: 'fine' });
  clock.now += 1;
  const second = await requests.create(kim, ASKED);
  clock.now += 1;
  await requests.decide(ada, second.id, { outcome: 'refuse', comment: 'ask for the other order' });
  const rows = await told();
  t.match(rows, [
    {
      ...{ kind: 'request.waiting', to_group: 'leads' },
      data: {
        person: 'kim',
        needed: 1,
        link: `https://gw.example.com/requests/${id}`,
        decide: /daypass approve/,
      },
    },
    {
      ...{ kind: 'request.approved', people: ['kim'] },
      data: {
        by: 'ada',
        connect: `daypass activate ${id}\ndaypass connect orders-web   # needs no password; or, in place of it:\nread -rs HANDLE   # paste the handle that activate shows\nPGPASSWORD=$HANDLE psql "dbname=orders-web user=kim"`,
      },
    },
    { kind: 'request.waiting' },
    { kind: 'request.refused', people: ['kim'], data: { reason: 'ask for the other order', by: 'ada' } },
  ]);
  for (const { kind, data } of rows) t.same(unknownFields(kind, data), [], String(kind));
});

/** Fields that no text could name. */
function unknownFields(kind: unknown, data: unknown): string[] {
  const fields: readonly string[] = Object.entries(NOTICE_FIELDS).find(([one]) => one === kind)?.[1] ?? [];
  const more = kind === 'grant.revoked' ? NOTICE_FIELDS['request.waiting'] : [];
  return Object.keys(data ?? {}).filter((field) => ![...fields, ...more].includes(field));
}

t.test('what nobody decided lapses and is told, also when somebody came too late to decide', async (t) => {
  const { requests, as, told, clock } = await startTelling(t);
  const kim = await as('kim');
  const [one, two] = [
    await requests.create(kim, { ...ASKED, from: MONDAY + 8 * DAY }),
    await requests.create(kim, { ...ASKED, from: MONDAY + 8 * DAY }),
  ];
  clock.now += 4 * DAY;
  await t.rejects(requests.decide(await as('ada'), one.id, { outcome: 'approve', comment: 'late' }));
  await requests.sweep();
  const lapsed = (await told()).filter(({ kind }) => kind === 'request.lapsed');
  t.same(lapsed.map(({ dedupe }) => dedupe).sort(), [one, two].map(({ id }) => `request.lapsed:${id}`).sort());
});

t.test('emergency access and revocations are told once, whichever way they came about', async (t) => {
  const { requests, as, told, tick, authority, clock } = await startTelling(t);
  const kim = await as('kim');
  const glass = { ...ASKED, role: 'retrier', breakGlass: true, seconds: 600 };
  const { id } = await requests.create(kim, glass);
  clock.now += 1;
  const { grant } = await requests.activate(kim, id);
  clock.now += 1;
  await requests.revoke(root, id, 'the incident is over');
  const loose = await authority.issue({
    ...{ principal: 'kim', service: 'orders-web', durationSeconds: 3_600, sponsor: 'sam', reason: 'look', by: 'root' },
  });
  const own = await authority.issue({
    ...{ principal: 'kim', service: 'orders-web', durationSeconds: 3_600, sponsor: 'sam', reason: 'look', by: 'root' },
  });
  await authority.revoke(loose.grant.id, { by: 'root', reason: 'not needed' });
  await authority.revoke(own.grant.id, { by: 'kim', reason: 'done' });
  clock.now += 1;
  await tick();
  await tick();
  const rows = await told();
  t.same(kinds(rows), ['request.approved', 'break_glass.used', 'grant.revoked', 'grant.revoked']);
  t.match(rows.slice(1), [
    { data: { grant: grant.id, person: 'kim' }, to_group: 'leads', people: ['sam'] },
    { data: { grant: grant.id, reason: 'the incident is over', by: 'root' }, people: ['kim', 'sam'] },
    { data: { grant: loose.grant.id, reason: 'not needed' }, people: ['kim', 'sam'], to_group: 'leads' },
  ]);
});

t.test(
  'the countdown begins anew with a renewal, and a clock that is set neither repeats nor loses a step',
  async (t) => {
    const { authority, told, tick, clock } = await startTelling(t);
    const { grant } = await authority.issue({
      ...{
        principal: 'kim',
        service: 'orders-web',
        durationSeconds: 3_600,
        sponsor: 'sam',
        reason: 'look',
        by: 'root',
      },
    });
    const until = async (minutes: number, end: number) => {
      clock.now = end - minutes * MINUTE;
      await tick();
      await tick();
    };
    const steps = async () =>
      (await told())
        .filter(({ kind }) => kind === 'grant.ending')
        .map(({ dedupe }) => Number(String(dedupe).split(':').at(-1)));
    await until(20, grant.expiresAt);
    t.same(await steps(), []);
    await until(4, grant.expiresAt);
    t.same(await steps(), [5], 'what is no longer true is not told');
    await until(20, grant.expiresAt);
    await until(14, grant.expiresAt);
    await until(4, grant.expiresAt);
    await until(1, grant.expiresAt);
    t.same((await steps()).sort(), [1, 15, 5]);
    t.match(
      (await told()).find(({ dedupe }) => String(dedupe).endsWith(':15')),
      { people: ['kim', 'sam'], to_group: 'leads', data: { minutes: 14 } },
    );
    const renewed = await authority.renew(grant.id, { durationSeconds: 3_600, reason: 'more to do', by: 'kim' });
    await until(15, renewed.expiresAt);
    t.equal((await steps()).length, 4);
    await until(-1, renewed.expiresAt);
    await until(30, renewed.expiresAt);
    await until(-1, renewed.expiresAt);
    const rows = await told();
    t.equal(rows.filter(({ kind }) => kind === 'grant.ended').length, 1);
    t.same(
      rows.filter(({ kind }) => kind === 'grant.unused').map(({ data }) => data),
      [
        { ...rowData(rows, 'grant.ended'), how_far: 'half over', ends: new Date(grant.expiresAt).toISOString() },
        { ...rowData(rows, 'grant.ended'), how_far: 'over' },
      ],
    );
  },
);

function rowData(rows: readonly Record<string, unknown>[], kind: string): object {
  return rows.find((row) => row.kind === kind)?.data ?? {};
}

t.test('a grant that was used is not said to be unused, and a short one has no step that it never had', async (t) => {
  const { authority, told, tick, clock, database } = await startTelling(t);
  const issued = { principal: 'kim', service: 'orders-web', sponsor: 'sam', reason: 'look', by: 'root' };
  const { grant } = await authority.issue({ ...issued, durationSeconds: 600 });
  await database.query(
    `insert into daypass.sessions (id, gateway_id, grant_id, service, protocol, principal, role, client, mode, policy_version, started_at)
     values (gen_random_uuid(), gen_random_uuid(), $1, 'orders-web', 'http', 'kim', 'viewer', 'c', 'strict', 'v', $2)`,
    [grant.id, new Date(clock.now + MINUTE)],
  );
  await tick();
  t.same(await told(), []);
  clock.now = grant.expiresAt;
  await tick();
  t.same(kinds(await told()), ['grant.ended']);
});

t.test('access that was wider than what was used of it is told of once, when it is over', async (t) => {
  const { authority, told, tick, clock, database } = await startTelling(t);
  const issued = { principal: 'kim', service: 'orders-web', sponsor: 'sam', reason: 'look', by: 'root' };
  const [some, all] = [
    await authority.issue({ ...issued, durationSeconds: 600 }),
    await authority.issue({ ...issued, durationSeconds: 600 }),
  ];
  await use(database, some.grant, ['GET /']);
  await use(database, all.grant, ['GET /', 'viewer: GET /orders']);
  clock.now = some.grant.expiresAt;
  await tick();
  t.same(kinds(await told()), ['grant.ended', 'grant.ended'], 'the index may be behind');
  clock.now += MINUTE;
  await tick();
  await tick();
  const wider = (await told()).filter(({ kind }) => kind === 'grant.wider_than_used');
  t.match(
    wider.find(({ dedupe }) => String(dedupe).endsWith(some.grant.id)),
    { people: ['sam'], to_group: 'leads', data: { granted: 2, used: 1, unused: 'GET /orders' } },
  );
  t.match(
    wider.find(({ dedupe }) => String(dedupe).endsWith(all.grant.id)),
    { people: [], to_group: null, data: {} },
    'looked through, and told to nobody',
  );
  t.equal(wider.length, 2);
});

t.test('long access that is wider than its use is told of when half of it is over, and not again', async (t) => {
  const { authority, told, tick, clock, database } = await startTelling(t, Outbox, [LONG]);
  const issued = { principal: 'kim', service: 'orders-web', sponsor: 'sam', reason: 'look', by: 'root' };
  const { grant } = await authority.issue({ ...issued, durationSeconds: (2 * DAY) / 1_000 });
  await use(database, grant, ['GET /orders']);
  const wider = async () => (await told()).filter(({ kind }) => kind === 'grant.wider_than_used');
  clock.now += DAY;
  await tick();
  t.same(await wider(), []);
  clock.now += MINUTE;
  await tick();
  clock.now = grant.expiresAt + MINUTE;
  await tick();
  const rows = await wider();
  t.match(rows, [{ data: { used: 1, unused: 'GET /' } }]);
  t.equal(rows.length, 1);
  for (const { kind, data } of rows) t.same(unknownFields(kind, data), []);
});

/** One session of a grant, as the index has it. */
async function use(database: Database, { id, notBefore }: Grant, rules: readonly string[]): Promise<void> {
  const session = randomUUID();
  const at = new Date(notBefore + 1);
  await database.query(
    `insert into daypass.sessions (id, gateway_id, grant_id, service, protocol, principal, role, client, mode, policy_version, started_at)
     values ($1, gen_random_uuid(), $2, 'orders-web', 'http', 'kim', 'viewer', 'c', 'strict', 'v', $3)`,
    [session, id, at],
  );
  await database.query(
    `insert into daypass.block_index (session_id, first_seq, last_seq, from_at, to_at, actions, denied, verbs, targets, reasons,
       rows, bytes_in, bytes_out, text, rules)
     values ($1, 1, 2, $2, $2, 1, 0, '{}', '{}', '{}', 0, 0, 0, '', $3)`,
    [session, at, rules],
  );
}

t.test('an account is told to end a week and a day before', async (t) => {
  const { told, tick, clock } = await startTelling(t);
  for (const days of [8, 7, 6, 1, 0.5]) {
    clock.now = MONDAY + (60 - days) * DAY;
    await tick();
  }
  t.match(await told(), [
    { kind: 'account.ending', people: ['kim', 'sam'], data: { person: 'kim', days: 7 } },
    { kind: 'account.ending', data: { days: 1 } },
  ]);
});

t.test('an act goes on when its notice cannot be written, and waits for no channel', async (t) => {
  class Broken extends Outbox {
    override async enqueue(client: Parameters<Outbox['enqueue']>[0]): Promise<void> {
      await client.query('select nothing');
    }
  }
  const { requests, as, told, audited } = await startTelling(t, Broken);
  const { id, state } = await requests.create(await as('kim'), ASKED);
  t.equal(state, 'pending');
  t.same(await told(), []);
  t.match((await audited()).at(-1), { act: 'request.create', target: `request:${id}`, result: 'done' });
});

t.test('data cannot command Slack', async (t) => {
  const data = { person: '<!channel> & <https://evil.example|the gateway>', what: 'one\ntwo\u202e' };
  const message = { id: '1', kind: 'alert', at: 0, data, recipient: '', repeated: false };
  const text = slackText(message, { alert: { text: '<!here> {{person}}: {{what}}' } });
  t.ok(text.includes('<!here> &lt;!channel&gt; &amp; &lt;https://evil.example|the gateway&gt;: one two'), text);
  t.notMatch(text.replace('<!here>', ''), /[<>\u202e]/);
});

t.test('data cannot command Mattermost: no mention, no link, no markup, in whatever text it stands', async (t) => {
  const evil = [
    ...[
      '@channel',
      '@here',
      '@all',
      'x.@channel',
      '\\@here',
      '&#64;all',
      '<!channel>',
      '<@user>',
      '~town-square',
      ':+1: :100:',
    ],
    ...[
      '<https://evil.example|the gateway>',
      '[the gateway](https://evil.example)',
      'https://evil.example',
      'www.evil.example',
      'www1.1evil.example',
      'ab1:2c',
    ],
    ...[
      'evil.example/login',
      'mailto:a@evil.example',
      '![x](http://evil.example/x.png)',
      '**bold** _it_ `code` ~~no~~',
      '#tag',
    ],
    ...['> said', '1. one', '- one', '=== ---', '| a | b |', '$x^2$'],
  ];
  for (const person of evil) {
    const message = { id: '1', kind: 'alert', at: 0, data: { person, what: person }, recipient: '', repeated: false };
    for (const template of [
      '{{person}} {{what}}',
      '@here `{{person}}` **{{what}}**',
      '{{person}}',
      '- {{person}}\n{{what}}',
    ]) {
      const text = slackText(message, { alert: { subject: 's', text: template } }, 'mattermost').slice(
        '**s**\n'.length,
      );
      // What is left of the data, once the operator's own words are taken away.
      const data = text.replace(/^@here `|`(?= \*\*)|\*\*|^- /g, '').replace(/&#\d+;/g, '\u25a1');
      t.notMatch(
        data,
        /@[\w.]|[\\`*_~[\](){}#|!$<>"]|[a-z]\d*:|:[\w+-]+:|www\d*\.|[a-z]\d*\.\d|[a-z]\.[a-z]|^[-+=>]|^\d+[.)]/m,
        `${person} in ${template}`,
      );
    }
  }
});

t.test('Mattermost shows what was written as it was, and our own link and commands to be used', async (t) => {
  const data = {
    ...{ task: 'Look at order 4711 (twice), please.', begins: '2026-11-27T14:00:00.000Z', person: 'kim' },
    ...{ link: 'https://gw.example.com:8443/requests/01a2-b3', decide: "daypass approve 01a2 --comment '…'" },
    connect: 'daypass connect web\nread -rs HANDLE',
  };
  const shown = (text: string, more: object = {}) => {
    const message = { id: '1', kind: 'alert', at: 0, data: { ...data, ...more }, recipient: '', repeated: false };
    return slackText(message, { alert: { subject: 's', text } }, 'mattermost').slice('**s**\n'.length);
  };
  const read = (text: string) =>
    text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code))).replaceAll('\u200b', '');
  t.equal(read(shown('{{task}}')), data.task);
  t.equal(shown('{{begins}}'), data.begins);
  t.equal(shown('{{link}}'), data.link);
  t.equal(shown('{{decide}}'), `\`${data.decide}\``);
  t.equal(shown('{{connect}}'), `\`\`\`\n${data.connect}\n\`\`\``);
  t.notMatch(
    shown('{{link}}', { link: 'https://evil.example/@all' }),
    /s:\/\/|@a/,
    'a link that is not like ours is text',
  );
  t.notMatch(shown('{{decide}}', { decide: 'x` @all' }), /`|@a/);
});
