import t from 'tap';
import { employeeOf } from '../../src/identity/employees.js';
import { networkActor, OPS, openPeople } from './fixture.js';

const DAY = 86_400_000;
const DANA = networkActor('dana');
const OPERATOR = networkActor('olga', new Set(['operator']));

t.test('an operator invites a contractor: an account with a sponsor and an end, and a link for a day', async (t) => {
  const { accounts, people, clock, lines, carl, pool } = await openPeople(t);
  const end = clock.wall() + 30 * DAY;
  const invitation = await accounts.invite(OPS, carl({ email: 'carl@example.com', groups: ['b', 'a', 'b'] }));
  t.equal(invitation.expiresAt, clock.wall() + DAY);
  t.equal(invitation.recovery, false);
  t.match(await people.get('carl'), {
    ...{ kind: 'contractor', source: 'local', name: 'Carl', email: 'carl@example.com', groups: ['a', 'b'] },
    ...{ sponsor: 'dana', endsAt: end, createdBy: 'ops', closedAt: null },
  });
  t.match(lines, [{ actor: 'ops', via: 'socket', act: 'person.invite', target: 'person:carl', result: 'done' }]);
  const { rows } = await pool.query('select i::text as row from invitations i');
  t.notOk(JSON.stringify(rows).includes(invitation.secret), 'its secret is kept as a hash alone');
});

t.test('a contractor has an end within a year, and an open employee as sponsor who is somebody else', async (t) => {
  const { accounts, clock, carl, people, lines } = await openPeople(t);
  await accounts.invite(OPS, carl({ subject: 'cora' }));
  await accounts.close(OPS, 'erik', 'left');
  lines.length = 0;
  const refused = async (over: Parameters<typeof carl>[0], code: string, message: RegExp) => {
    await t.rejects(accounts.invite(OPS, carl(over)), { code, message }, String(message));
  };
  await refused({ endsAt: undefined }, 'invalid_end', /must have an end/);
  await refused({ endsAt: clock.wall() }, 'invalid_end', /in the past/);
  await refused({ endsAt: clock.wall() + 367 * DAY }, 'invalid_end', /more than a year/);
  await refused({ sponsor: undefined }, 'invalid_sponsor', /must have a sponsor/);
  await refused({ sponsor: 'carl' }, 'invalid_sponsor', /their own sponsor/);
  await refused({ sponsor: 'nobody' }, 'invalid_sponsor', /no person/);
  await refused({ sponsor: 'cora' }, 'invalid_sponsor', /not an employee/);
  await refused({ sponsor: 'erik' }, 'invalid_sponsor', /closed/);
  await refused({ subject: 'Carl!' }, 'invalid_request', /not a valid name/);
  await refused({ kind: undefined }, 'invalid_request', /contractor/);
  await refused({ name: ' ' }, 'invalid_request', /name/);
  await refused({ email: 'no address' }, 'invalid_request', /e-mail/);
  await refused({ groups: ['group:x'] }, 'invalid_request', /groups/);
  await refused({ kind: 'employee' }, 'invalid_request', /Only contractors/);
  t.equal(await people.find('carl'), null, 'nothing was changed');
  t.equal(lines.length, 14, 'and each has its line');
  t.ok(lines.every(({ result, detail }) => result === 'refused' && typeof detail?.code === 'string'));
});

t.test('over the network an employee invites contractors whose sponsor they are, and nobody else', async (t) => {
  const { accounts, carl, people, clock } = await openPeople(t);
  const forbidden = { code: 'forbidden' };
  await t.rejects(accounts.invite(DANA, carl({ sponsor: 'erik' })), forbidden, 'for somebody else');
  await t.rejects(accounts.invite(DANA, { subject: 'eve', name: 'Eve', kind: 'employee' }), forbidden, 'an employee');
  await t.rejects(accounts.invite(DANA, carl({ groups: ['leads'] })), forbidden, 'into groups, which are duties');
  await t.rejects(
    accounts.invite(networkActor('nobody'), carl({ sponsor: 'nobody' })),
    forbidden,
    'without an account',
  );
  t.equal((await accounts.invite(DANA, carl())).recovery, false);
  const contractor = carl({ subject: 'cora', sponsor: 'carl' });
  await t.rejects(accounts.invite(networkActor('carl'), contractor), forbidden, 'a contractor');
  await accounts.invite(OPERATOR, { subject: 'eve', name: 'Eve', kind: 'employee' });
  t.match(await people.get('eve'), { createdBy: 'olga', endsAt: null, sponsor: null });
  t.equal((await accounts.invite(DANA, { subject: 'carl', reason: 'new phone' })).recovery, true);
  await accounts.setGroups(OPS, 'carl', ['leads'], 'he approves');
  const again = { subject: 'carl', reason: 'another phone' };
  await t.rejects(accounts.invite(DANA, again), { ...forbidden, message: /leads/ }, 'whose duties would become theirs');
  t.equal((await accounts.invite(networkActor('dana', new Set(), ['leads']), again)).recovery, true);
  await t.rejects(accounts.invite(networkActor('erik'), { subject: 'carl', reason: 'mine' }), forbidden);
  await accounts.close(OPS, 'dana', 'left');
  await t.rejects(accounts.invite(DANA, carl({ subject: 'cleo' })), forbidden, 'a closed account invites nobody');
  clock.pass(1);
});

t.test('an invitation for somebody who has an account takes a reason, and ends what they log in with', async (t) => {
  const { accounts, logins, passkeys, carl, join, enter, loggedOut, lines } = await openPeople(t);
  const first = await accounts.invite(OPS, carl());
  const { authenticator, given } = await join(first.secret);
  const link = await logins.link('carl', { by: 'ops', reason: 'a test' });
  const unused = await accounts.invite(OPS, { subject: 'carl', reason: 'lost' });
  t.equal(await logins.find(given.secret), null, 'the login is over');
  await t.rejects(enter(authenticator), { code: 'passkey_refused' }, 'and the passkey');
  t.equal(await logins.logIn(link.secret, null), null, 'and a link that was not used yet');
  const again = await accounts.invite(OPS, { subject: 'carl', reason: 'lost again' });
  await t.rejects(passkeys.invited(unused.secret), { code: 'invitation_over' }, 'and the invitation before');
  await t.rejects(accounts.invite(OPS, { subject: 'carl' }), { code: 'invalid_request', message: /reason/ });
  const changed = carl({ reason: 'x', sponsor: 'erik' });
  await t.rejects(accounts.invite(OPS, changed), { code: 'invalid_request', message: /different/ });
  t.same(loggedOut, ['carl', 'carl'], 'the gateway cuts what was opened');
  t.ok((await join(again.secret)).given.secret);
  t.match(
    lines
      .filter(({ act, result }) => act === 'person.invite' && result === 'done')
      .map(({ detail }) => detail?.recovery),
    [false, true, true],
  );
});

t.test('a closed account stays closed, and everything it could log in with has ended', async (t) => {
  const { accounts, logins, passkeys, carl, join, enter, people, clock, loggedOut } = await openPeople(t);
  const { authenticator, given } = await join((await accounts.invite(OPS, carl())).secret);
  const link = await logins.link('carl', { by: 'ops', reason: 'test' });
  const ended = await accounts.close(DANA, 'carl', 'done early');
  t.same(ended, { invitations: 0, passkeys: 1, logins: 1, tokens: 0 });
  t.equal((await people.get('carl')).closedAt, clock.wall());
  t.equal(await logins.find(given.secret), null);
  t.equal(await logins.logIn(link.secret, null), null, 'no link opens it');
  await t.rejects(enter(authenticator), { code: 'passkey_refused' });
  t.same(loggedOut, ['carl']);
  await t.rejects(accounts.invite(OPS, { subject: 'carl', reason: 'back' }), { code: 'account_closed' });
  await t.rejects(accounts.extend(OPS, 'carl', clock.wall() + 60 * DAY, 'back'), { code: 'account_closed' });
  await t.rejects(accounts.reassign(OPS, 'carl', 'erik', 'back'), { code: 'account_closed' });
  await t.rejects(accounts.setGroups(OPS, 'carl', ['a'], 'back'), { code: 'account_closed' });
  const nothing = { invitations: 0, passkeys: 0, logins: 0, tokens: 0 };
  t.same(await accounts.close(OPS, 'carl', 'once more'), nothing, 'closing again does no harm');
  const cleo = await accounts.invite(OPS, carl({ subject: 'cleo' }));
  t.match(await accounts.close(OPS, 'cleo', 'a mistake'), { invitations: 1 });
  await t.rejects(passkeys.beginInvited(cleo.secret), { code: 'invitation_over' });
});

t.test('an account that has come to its end lets nobody in until it is extended', async (t) => {
  const { accounts, logins, passkeys, carl, join, enter, clock } = await openPeople(t);
  const end = clock.wall() + 3_600_000;
  const { authenticator, given } = await join((await accounts.invite(OPS, carl({ endsAt: end }))).secret);
  t.equal(given.expiresAt, end, 'a login lasts no longer than the account');
  const cleo = await accounts.invite(OPS, carl({ subject: 'cleo', endsAt: end }));
  clock.pass(3_600_000);
  t.equal(await logins.find(given.secret), null);
  await t.rejects(enter(authenticator), { code: 'account_over' });
  await t.rejects(passkeys.invited(cleo.secret), { code: 'account_over' });
  await t.rejects(join(cleo.secret), { code: 'account_over' });
  const again = { subject: 'carl', reason: 'back' };
  await t.rejects(accounts.invite(OPS, again), { code: 'account_over', hint: /extend/i });
  await accounts.extend(DANA, 'carl', clock.wall() + DAY, 'two more tickets');
  t.equal((await enter(authenticator)).principal, 'carl');
});

t.test('an end moves further away only, by the sponsor or an operator', async (t) => {
  const { accounts, carl, clock, people, lines } = await openPeople(t);
  await accounts.invite(OPS, carl());
  lines.length = 0;
  const end = clock.wall() + 60 * DAY;
  await t.rejects(accounts.extend(networkActor('carl'), 'carl', end, 'x'), { code: 'forbidden' }, 'not themselves');
  await t.rejects(accounts.extend(networkActor('erik'), 'carl', end, 'x'), { code: 'forbidden' });
  await t.rejects(accounts.extend(DANA, 'carl', clock.wall() + DAY, 'x'), { code: 'invalid_end', message: /further/ });
  await t.rejects(accounts.extend(DANA, 'carl', clock.wall() + 400 * DAY, 'x'), { code: 'invalid_end' });
  await t.rejects(accounts.extend(OPS, 'dana', end, 'x'), { code: 'invalid_end' }, 'one without an end has none');
  await t.rejects(accounts.extend(OPS, 'nobody', end, 'x'), { code: 'unknown_person' });
  t.equal((await accounts.extend(DANA, 'carl', end, 'longer')).endsAt, end);
  t.equal((await people.get('carl')).endsAt, end);
  t.match(lines.at(-1), { act: 'person.extend', actor: 'dana', reason: 'longer', result: 'done' });
});

t.test('operators alone give contractors another sponsor, and people their groups, never their own', async (t) => {
  const { accounts, carl, people, clock } = await openPeople(t);
  await accounts.invite(OPS, carl());
  await t.rejects(accounts.reassign(DANA, 'carl', 'erik', 'x'), { code: 'forbidden' });
  await t.rejects(accounts.reassign(OPS, 'dana', 'erik', 'x'), { code: 'invalid_request' }, 'an employee has none');
  await t.rejects(accounts.reassign(OPS, 'carl', 'carl', 'x'), { code: 'invalid_sponsor' });
  t.equal((await accounts.reassign(OPERATOR, 'carl', 'erik', 'dana leaves')).sponsor, 'erik');
  await t.rejects(accounts.close(DANA, 'carl', 'x'), { code: 'forbidden' }, 'dana answers for them no longer');
  await t.rejects(accounts.setGroups(DANA, 'carl', ['a'], 'x'), { code: 'forbidden' });
  const dana = networkActor('dana', new Set(['operator']));
  await t.rejects(accounts.setGroups(dana, 'dana', ['security'], 'x'), { code: 'forbidden' });
  t.same((await accounts.setGroups(OPS, 'dana', ['leads'], 'promoted')).groups, ['leads']);
  t.equal((await people.get('dana')).groupsAt, clock.wall());
  await accounts.setGroups(OPS, 'dana', [], 'moved');
  t.same((await people.get('dana')).groups, []);
});

t.test('people of the directory are neither invited nor put into groups here', async (t) => {
  const { accounts, pool, people } = await openPeople(t);
  await pool.query(
    `insert into people (subject, kind, source, issuer, directory_id, name, created_at, created_by)
     values ('dora', 'employee', 'directory', 'https://idp', '1', 'Dora', now(), 'directory')`,
  );
  await t.rejects(accounts.invite(OPS, { subject: 'dora', reason: 'x' }), { code: 'directory_account' });
  await t.rejects(accounts.setGroups(OPS, 'dora', ['a'], 'x'), { code: 'directory_account' });
  await accounts.close(OPS, 'dora', 'left');
  t.ok((await people.get('dora')).closedAt, 'but their accounts can be closed');
});

t.test('somebody whom another directory knows by the same id is somebody else', async (t) => {
  const { pool, people, clock } = await openPeople(t);
  const parts = { pool, audit: async () => {} };
  const alice = {
    issuer: 'https://one',
    sub: '1',
    sid: null,
    subject: 'alice',
    name: 'Alice',
    email: null,
    groups: ['dev'],
  };
  t.same(await employeeOf(parts, alice, clock.wall()), { ok: true, subject: 'alice' });
  const other = { ...alice, issuer: 'https://two', name: 'Eve', groups: ['leads'] };
  t.same(await employeeOf(parts, other, clock.wall()), { ok: false, why: 'taken' });
  t.same(await employeeOf(parts, { ...other, subject: 'eve' }, clock.wall()), { ok: true, subject: 'eve' });
  t.same(await employeeOf(parts, { ...other, sub: '2' }, clock.wall()), { ok: false, why: 'taken' });
  t.match(await people.get('alice'), { name: 'Alice', groups: ['dev'] }, 'nor is it told of them');
});

t.test('an act whose line cannot be written is not done', async (t) => {
  const { pool, clock, people, carl } = await openPeople(t);
  const { Accounts } = await import('../../src/identity/accounts.js');
  const broken = async () => {
    throw new Error('the audit log does not answer');
  };
  const accounts = new Accounts({ pool, clock, audit: broken, loggedOut: async () => {} });
  await t.rejects(accounts.invite(OPS, carl()), { code: 'ledger_unavailable' });
  t.equal(await people.find('carl'), null);
  await t.rejects(accounts.close(OPS, 'dana', 'x'), { code: 'ledger_unavailable' });
  t.equal((await people.get('dana')).closedAt, null);
});
