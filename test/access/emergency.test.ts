import t, { type Test } from 'tap';
import { ASKED, activated, serviceText, startAccess } from './fixture.js';

const GLASS = serviceText({ access: 'approvals: 1, break_glass: { roles: [retrier], max_duration: 30m }' });
const EMERGENCY = { ...ASKED, role: 'retrier', breakGlass: true, seconds: 600 };

async function startEmergency(t: Test) {
  const access = await startAccess(t, { texts: [GLASS] });
  const kim = await access.as('kim');
  const { id } = await access.requests.create(kim, EMERGENCY);
  const alerts = () =>
    access.database.query('select kind, principal, service, grant_id, detail from daypass.alerts order by at, id');
  return { ...access, kim, id, alerts };
}

t.test('emergency access is an alert once it is begun, and nothing else of a request is one', async (t) => {
  const access = await startEmergency(t);
  const { requests, clock, kim, id, alerts, metrics } = access;
  t.same(await alerts(), [], 'asking for it is none');
  const { grant } = await requests.activate(kim, id, {});
  const first = { kind: 'break_glass', principal: 'kim', service: 'orders-web', detail: { request: id } };
  t.match(await alerts(), [{ ...first, grant_id: grant.id }]);
  await activated(access);
  t.equal((await alerts()).length, 1, 'what somebody agreed to is none');
  clock.now += 1_000;
  const again = await requests.activate(kim, id, {});
  t.match(
    await alerts(),
    [{ grant_id: grant.id }, { ...first, grant_id: again.grant.id }],
    'another handle is another',
  );
  t.match(await metrics.registry.metrics(), /daypass_alerts_total\{kind="break_glass"\} 2/);
});

t.test('no emergency begins without its alert: what cannot be told of is not given', async (t) => {
  const { requests, database, kim, id, authority } = await startEmergency(t);
  await database.query('alter table daypass.alerts rename to alerts_away');
  await t.rejects(requests.activate(kim, id, {}));
  t.match(await requests.get(kim, id), { state: 'approved', grant: null });
  t.match(await authority.list({ principal: 'kim' }), [{ state: 'revoked' }]);
});

t.test('an emergency that is not begun after all is no alert', async (t) => {
  const { requests, database, kim, id, alerts } = await startEmergency(t);
  await database.query('alter table daypass.audited rename to audited_away');
  await t.rejects(requests.activate(kim, id, {}));
  t.same(await alerts(), []);
});
