import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { AuditFacts } from '../../src/audit/entry.js';
import { verifyExport } from '../../src/audit/export.js';
import { KEYS } from '../audit/fixture.js';
import { ordersDatabase } from '../postgres/fixture.js';
import { startGateway, throughGateway } from '../support/gateway.js';
import { fetchText } from './fetch-text.js';

const ISSUE = {
  principal: 'alice',
  service: 'orders-db',
  durationSeconds: 600,
  sponsor: 'dana',
  reason: 'order 7',
  by: 'ops',
};

async function audited(t: Test) {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const entries = async (search = ''): Promise<AuditFacts[]> => {
    const { body } = await gateway.operator('GET', `/v1/audit${search}`);
    return (body.entries as AuditFacts[]).filter(({ via }) => via !== 'system');
  };
  return { gateway, operator: gateway.operator, entries };
}

t.test('what an operator does is in the audit log with who, why and what came of it', async (t) => {
  const { gateway, operator, entries } = await audited(t);
  const { id, handle } = (await operator('POST', '/v1/grants', ISSUE)).body;
  const client = await throughGateway(t, gateway.ports.postgres, String(handle));
  await client.query('select 1');
  const [session] = (await operator('GET', '/v1/sessions')).body.sessions as { id: string }[];
  await operator('GET', `/v1/sessions/${session?.id}?by=rita`);
  await operator('POST', `/v1/sessions/${session?.id}/end`, { by: 'rita', reason: 'looks odd' });
  await operator('POST', `/v1/grants/${id}/revoke`, { by: 'ops', reason: 'done' });
  await operator('POST', '/v1/verify', { by: 'rita' });
  await operator('POST', '/v1/index/rebuild', { by: 'ops' });
  await operator('POST', '/v1/reload', { by: 'ops' });
  await operator('POST', '/v1/reload', {});
  t.match((await entries()).reverse(), [
    { act: 'grant.issue', actor: 'ops', via: 'socket', target: `grant:${id}`, reason: 'order 7', result: 'done' },
    { act: 'recording.show', actor: 'rita', target: `session:${session?.id}` },
    { act: 'session.end', actor: 'rita', target: `session:${session?.id}`, reason: 'looks odd', result: 'done' },
    { act: 'grant.revoke', actor: 'ops', reason: 'done' },
    { act: 'recording.verify', actor: 'rita', target: 'recordings' },
    { act: 'index.rebuild', actor: 'ops', target: 'recordings' },
    { act: 'config.reload', actor: 'ops', result: 'done' },
    { act: 'config.reload', actor: 'operator' },
  ]);
  t.match(await operator('GET', '/v1/audit/verify'), { status: 200, body: { ok: true, findings: [] } });
});

t.test('what is refused is in the audit log with its code, and what was wrongly written is not', async (t) => {
  const { gateway, operator, entries } = await audited(t);
  await operator('POST', '/v1/grants', { ...ISSUE, durationSeconds: 999_999 });
  await operator('POST', '/v1/grants', { ...ISSUE, role: 'root' });
  await operator('POST', '/v1/grants/abcdefghijABCDEFGHIJ12/revoke', { by: 'ops', reason: 'leaked' });
  await operator('POST', '/v1/sessions/0190a000-0000-7000-8000-000000000000/end', { by: 'rita', reason: 'odd' });
  await operator('POST', '/v1/grants', { ...ISSUE, reason: 'a\nb' });
  await operator('POST', '/v1/grants', { ...ISSUE, by: 'a\nb', role: 'root' });
  await operator('POST', '/v1/grants', 'nonsense');
  await operator('POST', '/v1/nothing', ISSUE);
  await operator('GET', '/v1/grants/abcdefghijABCDEFGHIJ12');
  const wanted = { service: 'orders-db', principal: 'alice' };
  t.match((await entries()).reverse(), [
    { act: 'grant.issue', result: 'refused', target: 'service:orders-db', detail: { code: 'duration_exceeds_policy' } },
    {
      act: 'grant.issue',
      result: 'refused',
      reason: 'order 7',
      detail: { code: 'unknown_role', role: 'root', ...wanted },
    },
    {
      act: 'grant.revoke',
      result: 'refused',
      target: 'grant:abcdefghijABCDEFGHIJ12',
      detail: { code: 'unknown_grant' },
    },
    { act: 'session.end', actor: 'rita', result: 'refused', detail: { code: 'unknown_session' } },
  ]);
  t.equal((await entries()).length, 4);
  t.equal((await entries('?result=refused&actor=rita')).length, 1);
  writeFileSync(join(gateway.configDirectory, 'services', 'orders-db.yaml'), 'service: orders-db\n');
  await operator('POST', '/v1/reload', { by: 'ops' });
  t.match(await entries('?act=config.reload'), [{ result: 'refused', actor: 'ops', detail: { problems: /\d/ } }]);
});

t.test('an act that cannot be written down is not done, and is not said to be', async (t) => {
  const { gateway, operator } = await audited(t);
  const { id, handle } = (await operator('POST', '/v1/grants', ISSUE)).body;
  const client = await throughGateway(t, gateway.ports.postgres, String(handle));
  await client.query('select 1');
  const [session] = (await operator('GET', '/v1/sessions')).body.sessions as { id: string }[];
  await gateway.ledger.query('alter table daypass.audit add constraint brimful check (seq < 2)');
  const act = { by: 'rita', reason: 'looks odd' };
  t.match(await operator('POST', `/v1/sessions/${session?.id}/end`, act), {
    status: 503,
    body: { error: { code: 'audit_unavailable' } },
  });
  t.match(await client.query('select 1'), { rowCount: 1 }, 'the session lives');
  for (const path of ['/v1/grants', '/v1/index/rebuild'])
    t.equal((await operator('POST', path, path === '/v1/grants' ? ISSUE : { by: 'ops' })).status, 503, path);
  t.equal((await operator('POST', '/v1/reload', { by: 'ops' })).status, 200, 'a reload may take access away');
  t.equal((await operator('GET', `/v1/sessions/${session?.id}?by=rita`)).status, 500, 'nothing is shown');
  const socket = join(gateway.dataDirectory, 'daypass.sock');
  t.equal((await fetchText(socket, '/v1/audit/export?by=rita')).status, 503);
  t.match(await operator('POST', '/v1/grants', { ...ISSUE, role: 'root' }), { status: 404 }, 'a refusal stays one');
  t.equal((await gateway.ledger.query('select 1 from daypass.grants')).length, 1);
  // Access is taken away all the same: the ledger is told later.
  t.match(await operator('POST', `/v1/grants/${id}/revoke`, act), { status: 202, body: { ledger: 'queued' } });
  await gateway.ledger.query('alter table daypass.audit drop constraint brimful');
});

t.test('an export is itself in the log, verifies offline, and breaks off visibly', async (t) => {
  const { gateway, operator } = await audited(t);
  await operator('POST', '/v1/grants', ISSUE);
  const socket = join(gateway.dataDirectory, 'daypass.sock');
  const whole = await fetchText(socket, '/v1/audit/export?by=rita');
  t.match(whole, { status: 200, type: 'application/x-ndjson' });
  const lines = whole.text.trimEnd().split('\n');
  t.match(await verifyExport(lines, KEYS), { findings: [] });
  t.match(lines.at(-2), /audit\.export/);
  t.equal((await fetchText(socket, '/v1/audit/export')).status, 400, 'it says for whom');
  const { head } = (await operator('GET', '/v1/audit/head')).body;
  t.match(await operator('GET', `/v1/audit/verify?head=${head}`), { body: { ok: true } });
  t.match(await operator('GET', `/v1/audit/verify?head=x`), {
    body: { ok: false, findings: [{ fault: 'head_forged' }] },
  });
  for (const search of ['?limit=0', '?result=maybe', '?cursor=x', '?since=yesterday', '?nonsense=1'])
    t.equal((await operator('GET', `/v1/audit${search}`)).status, 400, search);
});
