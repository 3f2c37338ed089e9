import { createHash } from 'node:crypto';
import t from 'tap';
import {
  type Access,
  ASKED,
  activated,
  addPerson,
  approved,
  DAY,
  MONDAY,
  refused,
  root,
  serviceText,
  startAccess,
} from './fixture.js';

const HASH = createHash('sha256').update('the terms').digest('hex');
const NDA = {
  party: 'kim',
  title: 'Contractors 2026',
  textHash: HASH,
  signedOn: '2026-11-01',
  validUntil: '2026-12-31',
};
const TEXTS = [serviceText({ access: 'nda: required' })];

t.test('operators keep the register, and everybody sees their own', async (t) => {
  const access = await startAccess(t);
  const { ndas, as, audited } = access;
  await refused(t, access, async () => ndas.register(await as('kim'), NDA), 'not_allowed');
  await refused(t, access, () => ndas.register(root, { ...NDA, party: 'nobody' }), 'unknown_person');
  await refused(t, access, () => ndas.register(root, { ...NDA, textHash: 'abc' }), 'invalid_request', /sha256sum/);
  await refused(t, access, () => ndas.register(root, { ...NDA, signedOn: '2026-02-30' }), 'invalid_request');
  await refused(t, access, () => ndas.register(root, { ...NDA, validUntil: '2026-10-31' }), 'invalid_period');
  await refused(t, access, () => ndas.register(root, { ...NDA, title: 'a\nb' }), 'invalid_request');
  const nda = await ndas.register(root, NDA);
  t.match(nda, { ...NDA, registeredBy: 'root', endedAt: null });
  t.match((await audited()).at(-1), { act: 'nda.register', target: `nda:${nda.id}`, detail: { party: 'kim' } });
  t.match(await ndas.list(await as('kim')), { ndas: [{ id: nda.id }], next: null });
  t.match(await ndas.list(await as('sam'), { valid: true }), { ndas: [{ id: nda.id }] }, 'who answers for them');
  t.same((await ndas.list(await as('eve'))).ndas, []);
});

t.test('no valid NDA, no request', async (t) => {
  const access = await startAccess(t, { texts: TEXTS });
  const { ndas, requests, as } = access;
  await addPerson(access.database, 'lou', { sponsor: 'sam' });
  const asking = (change: object) => async () => requests.create(await as('kim'), { ...ASKED, ...change });
  await refused(t, access, asking({}), 'nda_required', /register/);
  const lous = await ndas.register(root, { ...NDA, party: 'lou' });
  await refused(t, access, asking({ nda: lous.id }), 'unknown_nda');
  await refused(t, access, asking({ nda: 'x' }), 'unknown_nda');
  const old = await ndas.register(root, { ...NDA, validUntil: '2026-11-29' });
  await refused(t, access, asking({}), 'nda_not_valid');
  await ndas.register(root, { ...NDA, signedOn: '2026-12-02' });
  await refused(t, access, asking({}), 'nda_not_valid');
  const short = await ndas.register(root, { ...NDA, validUntil: '2026-11-30' });
  await refused(t, access, asking({ nda: old.id }), 'nda_not_valid');
  const from = Date.UTC(2026, 10, 30, 23, 30);
  await refused(t, access, asking({ nda: short.id, from }), 'nda_not_valid', /30m or less/);
  t.match(await asking({ nda: short.id, from, seconds: 1_800 })(), { nda: short.id });
});

/** An approved request under an NDA. */
async function underNda(access: Access) {
  const nda = await access.ndas.register(root, NDA);
  return { nda, request: await approved(access) };
}

t.test('the terms are acknowledged at first use, by the hash of their text, and that is recorded', async (t) => {
  const access = await startAccess(t, { texts: TEXTS });
  const { requests, as, database } = access;
  const { nda, request } = await underNda(access);
  const kim = await as('kim');
  await refused(t, access, () => requests.activate(kim, request.id), 'not_acknowledged', new RegExp(HASH));
  const wrong = HASH.replace(/^./, 'f').replace(/^f(?=f)/, '0');
  await refused(t, access, () => requests.activate(kim, request.id, { acknowledge: wrong }), 'not_acknowledged');
  const { grant } = await requests.activate(kim, request.id, { acknowledge: HASH.toUpperCase() });
  t.equal(grant.nda, nda.id);
  const rows = await database.query(
    `select nda, request_id, principal, encode(text_hash, 'hex') as hash from daypass.nda_acknowledgements`,
  );
  t.match(rows, [{ nda: nda.id, request_id: request.id, principal: 'kim', hash: HASH }]);
  t.ok((await requests.activate(kim, request.id)).handle, 'a new handle needs no second one');
});

t.test('an NDA that ends in between ends the grant with it, or keeps it from being made', async (t) => {
  const access = await startAccess(t, { texts: TEXTS });
  const { requests, as, database, clock } = access;
  const { nda, request } = await underNda(access);
  const activating = async () => requests.activate(await as('kim'), request.id, { acknowledge: HASH });
  await database.query(`update daypass.ndas set valid_until = '2026-11-29' where id = $1`, [nda.id]);
  await refused(t, access, activating, 'nda_not_valid');
  await database.query(`update daypass.ndas set valid_until = '2026-11-30' where id = $1`, [nda.id]);
  clock.now = MONDAY + 30 * 60_000;
  t.match((await activating()).grant, { expiresAt: MONDAY + 3_600_000 });
});

t.test('an NDA that is taken back ends what stands on it', async (t) => {
  const access = await startAccess(t, { texts: TEXTS });
  const { requests, ndas, as, authority } = access;
  const { nda, request } = await underNda(access);
  const { grant } = await requests.activate(await as('kim'), request.id, { acknowledge: HASH });
  const waiting = await requests.create(await as('kim'), { ...ASKED, from: MONDAY + DAY });
  await refused(t, access, async () => ndas.end(await as('kim'), nda.id, 'I do not like it'), 'not_allowed');
  await refused(t, access, () => ndas.end(root, nda.id.replace(/^./, 'f'), 'breach'), 'unknown_nda');
  t.match(await ndas.end(root, nda.id, 'breach'), { endedAt: MONDAY, endedBy: 'root' });
  t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
  for (const id of [request.id, waiting.id]) t.match(await requests.get(root, id), { state: 'revoked' });
  await refused(t, access, async () => requests.create(await as('kim'), { ...ASKED, nda: nda.id }), 'nda_not_valid');
});

t.test(
  'an NDA that is taken back while the ledger takes no revocation says so, and once more ends the rest',
  async (t) => {
    const { requests, ndas, database, as } = await startAccess(t, {
      texts: [serviceText({ access: 'nda: required' })],
    });
    const nda = await ndas.register(root, NDA);
    const { id } = await requests.create(await as('kim'), ASKED);
    await database.query('alter table daypass.request_acts add constraint never check (act is null) not valid');
    await t.rejects(ndas.end(root, nda.id, 'broken'), { message: /1 of the requests/, hint: /again/ });
    await database.query('alter table daypass.request_acts drop constraint never');
    t.match(await requests.get(root, id), { state: 'pending' });
    await ndas.end(root, nda.id, 'broken');
    t.match(await requests.get(root, id), { state: 'revoked' });
  },
);

t.test('a service that asks for no NDA asks for no acknowledgement', async (t) => {
  t.equal((await activated(await startAccess(t))).grant.nda, null);
});
