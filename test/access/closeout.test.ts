import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { chromium } from 'playwright-core';
import t, { type Test } from 'tap';
import { CloseOuts, openPoints } from '../../src/access/closeout.js';
import { closeOutPage } from '../../src/access/closeout-page.js';
import type { CloseOutRecord } from '../../src/access/closeout-record.js';
import { closeOutFile, signCloseOut } from '../../src/access/closeout-sign.js';
import { verifyCloseOut } from '../../src/access/closeout-verify.js';
import { systemClock } from '../../src/clock.js';
import { publicKeySet } from '../../src/grant/assertion.js';
import { keyRing } from '../../src/grant/keys.js';
import { MemoryGrantStore } from '../../src/grant/memory.js';
import { operatorNamed } from '../../src/identity/actor.js';
import { IndexWriter } from '../../src/recording/index.js';
import { verifySession } from '../../src/recording/verify-database.js';
import { REQUEST, signingKey, startAuthority, startLedger } from '../grant/fixture.js';
import { act, close, open, quiet, record, safe, startRecorder, until } from '../recording/fixture.js';
import { approval, begun, complete, person, request } from './engagement.js';
import { ASKED, startAccess } from './fixture.js';

const KEY = signingKey();
const KEYS = keyRing(KEY);
const OPS = operatorNamed('olga');

/** What a reviewer must survive seeing (THREATS.md B3). */
const HOSTILE =
  '</script><script>window.ran=1</script><img src="http://evil.test/x" onerror="window.ran=1"><svg onload=window.ran=1>' +
  '\u202egnp.exe\u200b \u001b[2J\u009b1m\r\nforged: line <a href="javascript:window.ran=1">x</a> "\'&amp; <style>@import "http://evil.test/c"</style>';

async function engagement(t: Test) {
  const { pool, ledger, database } = await startLedger(t);
  await complete(pool);
  const authority = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger, key: KEY });
  for (const name of ['dana', 'rita']) await person(pool, name, { groups: ['leads'] });
  await person(pool, 'alice', { sponsor: 'dana' });
  const id = await request(pool, 'alice', { task: REQUEST.reason });
  await pool.query('update request_acts set reason = $2 where request_id = $1', [id, HOSTILE]);
  await approval(pool, id, 'rita', HOSTILE);
  const { grant } = await authority.issue({ ...REQUEST, request: id, durationSeconds: 300 });
  await begun(pool, id, grant.id);
  const closeOuts = new CloseOuts({ pool, signingKey: KEY, ownerOf: () => 'group:leads', clock: systemClock });
  return { pool, ledger, database, authority, grant, id, closeOuts };
}

/** A record of everything there can be, without a database. */
async function signed(t: Test) {
  const { closeOuts, id, pool, authority, grant } = await engagement(t);
  const { recorder } = await startRecorder(t, pool);
  await record(recorder, 3, { grantId: grant.id });
  await authority.revoke(grant.id, { by: 'olga', reason: 'done' });
  return closeOuts.make(OPS, id);
}

t.test('a close-out says what was asked, agreed, given, done and refused, and holds offline', async (t) => {
  const { closeOuts, id, pool, authority, grant, database } = await engagement(t);
  const index = new IndexWriter({ pool, log: quiet });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  await record(recorder, 3, { grantId: grant.id });
  const live = open(recorder, { grantId: grant.id });
  act(live, 'drop table orders', 'deny');
  await safe(live);
  const interim = await closeOuts.make(OPS, id);
  t.equal(interim.record.state, 'interim');
  t.match(interim.record.open, [/in force until/, /1 sessions have not ended/]);
  t.ok((await verifyCloseOut(interim.file, KEYS)).ok);
  close(live);
  await safe(live);
  const [first] = interim.record.sessions;
  if (first === undefined) throw new Error('no session');
  t.match(
    (await verifySession(pool, first.id)).last,
    { seq: first.lastSeq, head: first.head },
    'as `daypass verify` has it',
  );
  await authority.revoke(grant.id, { by: 'olga', reason: 'done early' });
  await index.close();
  await until(database, `(select count(*) = 2 from daypass.sessions where ended_at is not null)`);
  const { record: made, file } = await closeOuts.make(OPS, id);
  t.equal(made.state, 'final');
  t.match(made.approvals, [{ approver: 'rita', outcome: 'approve', seconds: 300 }]);
  t.match(made.grants, [{ id: grant.id, token: grant.token, acts: [{ act: 'issue' }, { act: 'revoke', by: 'olga' }] }]);
  t.match(made.totals, { sessions: 2, actions: 4, rows: 6 });
  t.same(made.denials.byReason, { out_of_scope: 2 });
  t.equal(made.denials.listed.length, 2);
  const rows = await database.query<{ id: string; last_seq: string; head: string }>(
    `select id, last_seq, encode(last_hash, 'hex') as head from daypass.sessions order by id`,
  );
  t.same(
    made.sessions.map(({ id, lastSeq, head }) => [id, String(lastSeq), head]),
    rows.map(({ id, last_seq, head }) => [id, last_seq, head]),
    'it can be matched with the recordings',
  );
  t.ok(
    made.audit.lines.some(({ entry }) => entry.includes('closeout.make')),
    'the interim one is in it',
  );
  t.ok(made.audit.lines.some(({ entry }) => entry.includes('grant.revoke')));
  const check = await verifyCloseOut(file, KEYS);
  t.same(check.findings, []);
  t.equal(check.holds.length, 7);
});

t.test('the index may be gone: the recordings count', async (t) => {
  const { closeOuts, id, pool, grant } = await engagement(t);
  const { recorder } = await startRecorder(t, pool);
  await record(recorder, 3, { grantId: grant.id });
  const { record: made } = await closeOuts.make(OPS, id);
  t.match(made.totals, { sessions: 1, actions: 3, rows: 6, bytesOut: 30 });
  await pool.query(`update blocks set payload = 'x' where first_seq > 1`);
  const damaged = await closeOuts.make(OPS, id);
  t.match(damaged.record.sessions, [{ unreadable: true }]);
  t.match(damaged.record.open.join(' '), /cannot be read/);
});

t.test(
  'how a session ended, and all else of it, is what its record says, whatever its row was made to say',
  async (t) => {
    const { closeOuts, id, pool, grant } = await engagement(t);
    const { recorder } = await startRecorder(t, pool);
    const log = await record(recorder, 3, { grantId: grant.id });
    await record(recorder, 1, { grantId: grant.id });
    const before = (await closeOuts.make(OPS, id)).record.sessions;
    t.match(before, [
      { endReason: 'client_left', mode: 'strict', bytesAfterDue: 0, dueAt: null, lastSeq: 8 },
      { lastSeq: 4 },
    ]);
    await pool.query(
      `update sessions set mode = 'buffered', protocol = 'http', gateway_id = id, client = '10.0.0.1', policy_version = 'v2',
       started_at = started_at - interval '1 day', ended_at = ended_at + interval '30 s', due_at = started_at, cut_at = ended_at,
       bytes_after_due = 123456, end_reason = 'expired' where id = $1`,
      [log.row.id],
    );
    t.same((await closeOuts.make(OPS, id)).record.sessions, before);
    await pool.query('update sessions set ended_at = null, end_reason = null where id = $1', [log.row.id]);
    t.same((await closeOuts.make(OPS, id)).record.sessions, before);
  },
);

t.test('ten thousand sessions are read in a few queries', async (t) => {
  const { closeOuts, id, pool, grant } = await engagement(t);
  await pool.query(
    `insert into sessions (id, gateway_id, grant_id, service, protocol, principal, role, client, mode, policy_version,
       started_at, ended_at, end_reason, last_seq, last_hash)
     select gen_random_uuid(), gen_random_uuid(), $1, 'orders-db', 'postgres', 'alice', 'reader', '127.0.0.1', 'strict', 'v1',
       now(), now(), 'client_left', 0, sha256('x') from generate_series(1, 10000)`,
    [grant.id],
  );
  const asked: string[] = [];
  const counting = Object.create(pool, {
    connect: {
      value: async (asking?: Parameters<typeof pool.connect>[0]) => {
        if (asking !== undefined) return pool.connect(asking); // its own `query`
        const client = await pool.connect();
        return new Proxy(client, {
          get: (of, name) => {
            const value = Reflect.get(of, name);
            if (name !== 'query') return typeof value === 'function' ? value.bind(of) : value;
            return (...words: unknown[]) => {
              asked.push(String(words[0]));
              return Reflect.apply(value, of, words);
            };
          },
        });
      },
    },
  });
  const parts = { pool: counting, signingKey: KEY, ownerOf: () => undefined, clock: systemClock };
  const { record: made, file } = await new CloseOuts(parts).make(OPS, id);
  t.equal(made.sessions.length, 10_000);
  t.ok(asked.length < 50, `${asked.length} queries`);
  t.ok((await verifyCloseOut(file, KEYS)).ok);
  t.ok(closeOuts);
});

t.test(
  'reviewers, operators and the owners of the service make them; others are refused, and that is audited',
  async (t) => {
    const { closeOuts, id, pool } = await engagement(t);
    const actor = { subject: 'rita', via: 'browser', groups: ['leads'], duties: new Set<'reviewer'>() } as const;
    t.ok((await closeOuts.make(actor, id)).record);
    t.ok((await closeOuts.make({ ...actor, groups: [], duties: new Set(['reviewer'] as const) }, id)).record);
    await t.rejects(closeOuts.make({ ...actor, subject: 'alice', groups: ['others'] }, id), { code: 'not_allowed' });
    await t.rejects(closeOuts.make(OPS, '0190a000-0000-7000-8000-000000000000'), { code: 'unknown_request' });
    const { rows } = await pool.query(`select actor, result from audit where act = 'closeout.make' order by seq`);
    t.same(rows, [
      { actor: 'rita', result: 'done' },
      { actor: 'rita', result: 'done' },
      { actor: 'alice', result: 'refused' },
      { actor: 'olga', result: 'refused' },
    ]);
  },
);

t.test('any other byte in the file, or on the page, is found', async (t) => {
  const made = await signed(t);
  const [file, page] = [made.file, made.page()];
  t.ok((await verifyCloseOut(page, KEYS)).ok, 'the page is verified by the same question');
  for (const [name, text] of [
    ['file', file],
    ['page', page],
  ] as const) {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(text.length - 1),
        fc.constantFrom('', 'x', '0', '"', ' ', '<', 'é', '\n', '\u202e'),
        fc.boolean(),
        async (at, by, instead) => {
          const changed = text.slice(0, at) + by + text.slice(instead ? at + 1 : at);
          return changed === text || !(await verifyCloseOut(changed, KEYS)).ok;
        },
      ),
      { numRuns: 300 },
    );
    t.pass(name);
  }
});

t.test('a change of any field is found', async (t) => {
  const { record: made, jws } = await signed(t);
  let fields = 0;
  for (const [path, changed] of changes(made, [])) {
    const check = await verifyCloseOut(closeOutFile(JSON.stringify(changed), jws), KEYS);
    if (check.ok || check.findings[0]?.fault !== 'record_differs') t.fail(path);
    fields += 1;
  }
  t.ok(fields > 80, `${fields} fields`);
});

t.test('what is signed by somebody else, or as something else, is no close-out', async (t) => {
  const made = await signed(t);
  const { record: honest, jws, file } = made;
  const fault = async (text: string, keys = KEYS) =>
    (await verifyCloseOut(text, keys)).findings.map(({ fault }) => fault);
  const payload = JSON.stringify(honest);
  t.same(await fault(file, keyRing(signingKey())), ['unknown_key']);
  const [header = '', body = '', signature = ''] = jws.split('.');
  const [other = ''] = (await signCloseOut(honest, signingKey())).jws.split('.').slice(2);
  t.same(await fault(closeOutFile(payload, `${header}.${body}.${other}`)), ['bad_signature']);
  const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const twin = signature.slice(0, -1) + LETTERS.charAt(LETTERS.indexOf(signature.slice(-1)) ^ 1);
  t.same(await fault(closeOutFile(payload, `${header}.${body}.${twin}`)), ['bad_signature'], 'in bits that none reads');
  const [grant] = honest.grants;
  t.same(await fault(closeOutFile(payload, grant?.token ?? '')), ['wrong_type'], 'a grant is none');
  const typ = (words: object) => Buffer.from(JSON.stringify(words)).toString('base64url');
  const none = { alg: 'none', typ: 'daypass-closeout+jwt', kid: KEY.kid };
  t.same(await fault(closeOutFile(payload, `${typ(none)}.${body}.${signature}`)), ['wrong_type']);
  t.same(await fault(JSON.stringify(JSON.parse(file), null, 2)), ['reformatted']);
  t.same(await fault('{}'), ['not_a_closeout']);
  t.same(await fault('<!doctype html><html lang="en">'), ['not_a_closeout']);
  t.same(
    await fault(file.replace('{"record":{', '{"record":{"format":"x",')),
    ['reformatted'],
    'a name that stands twice',
  );
  const renamed = await signCloseOut({ ...honest, request: { ...honest.request, lane: 'code' } }, KEY);
  t.same(await fault(closeOutFile(payload, renamed.jws)), ['record_differs']);
  t.same(await fault(closeOutPage(honest, renamed.jws)), ['page_differs']);
});

t.test('grants and lines of the audit log within a signed record are looked at too', async (t) => {
  const { record: honest } = await signed(t);
  const fault = async (record: CloseOutRecord) => {
    const { jws } = await signCloseOut(record, KEY);
    const check = await verifyCloseOut(closeOutFile(JSON.stringify(record), jws), KEYS);
    return check.findings.map(({ fault }) => fault);
  };
  const [grant] = honest.grants;
  if (grant === undefined) throw new Error('no grant');
  const made = { ...grant, acts: [] };
  t.same(await fault({ ...honest, grants: [{ ...made, token: 'a.b.c' }] }), ['grant_not_signed']);
  t.same(await fault({ ...honest, grants: [{ ...made, principal: 'mallory' }] }), ['grant_differs']);
  t.same(await fault({ ...honest, grants: [{ ...made, service: 'another' }] }), ['grant_differs']);
  t.same(await fault({ ...honest, grants: [{ ...made, role: 'order-editor' }] }), ['grant_differs']);
  t.same(await fault({ ...honest, grants: [{ ...made, sponsor: 'mallory' }] }), ['grant_differs']);
  t.same(await fault({ ...honest, grants: [{ ...made, renewals: 1 }] }), ['grant_differs']);
  for (const name of ['issuedAt', 'notBefore', 'expiresAt'])
    t.same(
      await fault({ ...honest, grants: [{ ...made, [name]: '2026-01-01T00:00:00.000Z' }] }),
      ['grant_differs'],
      name,
    );
  const activation = { act: 'activate', at: honest.made.at, by: 'alice', reason: 'x' };
  const named = { ...honest, acts: [{ ...activation, detail: { grant: grant.id } }] };
  t.same(await fault(named), []);
  t.same(await fault({ ...named, grants: [] }), ['grant_missing']);
  const replaced = { ...honest, acts: [{ ...activation, detail: { former: grant.id } }] };
  t.same(await fault({ ...replaced, grants: [] }), ['grant_missing'], 'also one in whose place another was made');
  const lines = honest.audit.lines.map((line) => ({ ...line, entry: line.entry.replace('olga', 'rita') }));
  t.match(await fault({ ...honest, audit: { ...honest.audit, lines } }), ['audit_line_differs']);
});

t.test('a grant that names its request must be what the request says', async (t) => {
  const { pool, authority, closeOuts } = await engagement(t);
  const { reason, principal } = REQUEST;
  const id = await request(pool, principal, { task: reason });
  const only = ['select on public.orders'];
  await approval(pool, id, 'rita');
  const { grant } = await authority.issue({ ...REQUEST, request: id, only, durationSeconds: 300 });
  await begun(pool, id, grant.id);
  await pool.query('update access_requests set grant_id = $2, role = $3, allowed_only = $4 where id = $1', [
    ...[id, grant.id, grant.role, [...only, 'show']],
  ]);
  const { record: honest } = await closeOuts.make(OPS, id);
  const fault = async (change: object) => {
    const record = { ...honest, request: { ...honest.request, ...change } };
    const { jws } = await signCloseOut(record, KEY);
    const check = await verifyCloseOut(closeOutFile(JSON.stringify(record), jws), KEYS);
    return check.findings.map(({ fault }) => fault);
  };
  t.same(await fault({}), [], 'a rule that the policy has no more is left out of it');
  for (const change of [{ allowedOnly: ['show'] }, { allowedOnly: null }, { task: 'another' }, { allowedRole: 'any' }])
    t.same(await fault(change), ['grant_differs'], JSON.stringify(change));
  const others = [{ hours: 'Mon-Fri 09:00-18:00 UTC' }, { principal: 'mallory' }, { service: 'another' }];
  for (const change of [...others, { nda: '0190a000-0000-7000-8000-000000000000' }])
    t.same(await fault(change), ['grant_differs'], JSON.stringify(change));
});

t.test('a grant is that of the request, and no other of the same person and task', async (t) => {
  const { authority, closeOuts, id } = await engagement(t);
  const { record } = await closeOuts.make(OPS, id);
  const [held] = record.grants;
  if (held === undefined) throw new Error('no grant');
  const told = async (changed: object) => {
    const lie = { ...record, grants: [{ ...held, acts: [], ...changed }] };
    const { jws } = await signCloseOut(lie, KEY);
    const { findings } = await verifyCloseOut(closeOutFile(JSON.stringify(lie), jws), KEYS);
    return findings.map(({ message }) => message).join(' ');
  };
  const issued = async (request?: string) => {
    const { grant } = await authority.issue({ ...REQUEST, durationSeconds: 300, request });
    return { id: grant.id, token: grant.token };
  };
  t.match(await told({ id: 'another' }), /is that of another grant/);
  t.match(await told(await issued()), /comes from no request/);
  t.match(await told(await issued('0190a000-0000-7000-8000-000000000000')), /comes from another request/);
});

t.test('an engagement that was asked for, narrowed, renewed, begun again and handed back holds', async (t) => {
  const { requests, as, clock, key, parts } = await startAccess(t);
  const kim = await as('kim');
  const hours = 'Mon-Fri 08:00-18:00 UTC';
  const { id } = await requests.create(kim, { ...ASKED, role: 'retrier', hours });
  const narrower = { role: 'viewer', only: ['GET /orders'] };
  await requests.decide(await as('ada'), id, { outcome: 'approve', comment: 'fine', ...narrower });
  await requests.activate(kim, id);
  await requests.renew(kim, id, { seconds: 60, reason: 'not done' });
  clock.now += 5_000;
  await requests.activate(kim, id);
  await requests.giveBack(kim, id, 'done');
  const closeOuts = new CloseOuts({ pool: parts.pool, signingKey: key, ownerOf: () => 'group:leads', clock });
  const { file, record } = await closeOuts.make(OPS, id);
  t.match(await verifyCloseOut(file, keyRing(key)), { ok: true, findings: [] });
  t.match(record, { state: 'final', grants: [{}, {}] });
});

t.test('an engagement is over when nothing of it goes on or waits', async (t) => {
  const { record: made } = await signed(t);
  const [{ request }, now] = [made, Date.now()];
  t.same(openPoints(request, [], [], now), []);
  t.match(openPoints({ ...request, state: 'pending' }, [], [], now), [/is pending/]);
  t.match(openPoints({ ...request, state: 'approved' }, [], [], now), [/is approved/]);
  t.same(openPoints({ ...request, state: 'approved' }, [], [], Date.parse(request.endsAt)), [], 'nobody used it');
  t.match(openPoints({ ...request, kind: 'break_glass' }, [], [], now), [/not reviewed/]);
});

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

t.test('D25: the page runs nothing and loads nothing, whatever was recorded', async (t) => {
  const { record, jws } = await signed(t);
  const page = closeOutPage({ ...record, request: { ...record.request, task: HOSTILE } }, jws);
  t.notMatch(page, /<script|<img|<svg|<a |<iframe|<link|<form/);
  t.notMatch(page, /[\u202e\u200b\u001b\u009b\r]/);
  t.match(page, /default-src 'none'/);
  if (CHROMIUM === undefined) return t.comment('Chromium is not installed');
  const folder = t.testdir();
  await writeFile(join(folder, 'page.html'), page);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  t.teardown(() => browser.close());
  const tab = await browser.newPage();
  const asked: string[] = [];
  tab.on('request', (one) => asked.push(one.url()));
  await tab.goto(`file://${join(folder, 'page.html')}`);
  t.equal(await tab.evaluate('window.ran'), undefined);
  t.equal(asked.length, 1, 'the page alone');
  t.match(await tab.innerText('body'), /<script>window\.ran=1<\/script>/, 'it is shown as text');
  t.equal(await tab.evaluate("getComputedStyle(document.querySelector('dl')).display"), 'grid');
  await tab.setViewportSize({ width: 375, height: 700 });
  t.equal(await tab.evaluate('document.documentElement.scrollWidth'), 375, 'nor is it wider than a small screen');
});

t.test('daypass closeout verify asks no gateway', async (t) => {
  const made = await signed(t);
  const folder = t.testdir();
  const [file, page, keys] = ['c.json', 'c.html', 'jwks.json'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(file, made.file);
  await writeFile(page, made.page());
  await writeFile(keys, await publicKeySet(KEYS));
  const verify = (path: string, ...more: string[]) =>
    new Promise<{ code: number; text: string }>((resolve) => {
      const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
      execFile(process.execPath, [main, 'closeout', 'verify', path, '--keys', keys, ...more], (error, text) =>
        resolve({ code: Number(error?.code ?? 0), text }),
      );
    });
  t.match(await verify(file), { code: 0, text: /it holds/ });
  t.match(await verify(page), { code: 0, text: /it holds/ });
  t.match(await verify(file, '--audit', keys), { code: 1, text: /export_differs/ }, 'that is no export');
  await writeFile(file, made.file.replace('reader', 'writer'));
  t.match(await verify(file), { code: 1, text: /record_differs/ });
});

/** The record with one value changed at a time. */
function* changes(value: unknown, path: readonly (string | number)[]): Generator<[string, unknown]> {
  const name = path.join('.');
  if (typeof value === 'string') yield [name, `${value}x`];
  else if (typeof value === 'number') yield [name, value + 1];
  else if (typeof value === 'boolean') yield [name, !value];
  else if (value === null) yield [name, 'x'];
  else if (Array.isArray(value)) {
    for (const [index, one] of value.entries())
      for (const [at, changed] of changes(one, [...path, index])) yield [at, value.with(index, changed)];
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, one] of Object.entries(value))
      for (const [at, changed] of changes(one, [...path, key])) yield [at, { ...value, [key]: changed }];
  }
}
