import t from 'tap';
import { emergencies } from '../../src/access/emergency.js';
import { Metrics } from '../../src/metrics.js';
import { openDatabase } from '../../src/recording/database.js';
import { HandClock, silent } from '../grant/fixture.js';
import { serviceText, startAccess } from './fixture.js';

t.test('emergency access is an alert once it is begun, and nothing else of a request is one', async (t) => {
  const access = await startAccess(t, {
    texts: [serviceText({ access: 'approvals: 1, break_glass: { roles: [retrier], max_duration: 30m }' })],
  });
  const kim = await access.as('kim');
  const asked = { service: 'orders-web', role: 'retrier', breakGlass: true, seconds: 600 };
  const task = 'retry order 7, which the customer waits for on the phone';
  const { id } = await access.requests.create(kim, { ...asked, task });
  const { grant } = await access.requests.activate(kim, id, {});
  const pool = openDatabase(access.database.url, { max: 1 });
  t.teardown(() => pool.end());
  const tell = emergencies({ pool, clock: new HandClock(), log: silent, metrics: new Metrics() });
  for (const event of access.events) await tell(event);
  t.match(await access.database.query('select kind, principal, service, grant_id, detail from daypass.alerts'), [
    { kind: 'break_glass', principal: 'kim', service: 'orders-web', grant_id: grant.id, detail: { request: id } },
  ]);
});
