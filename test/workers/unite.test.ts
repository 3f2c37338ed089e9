import t from 'tap';
import type { GatewayStatus } from '../../src/api/parts.js';
import { unitedReload, unitedStatus } from '../../src/workers/unite.js';

const reloaded = { ok: true, services: ['orders-db'], problems: [] };
const refused = (...problems: string[]) => ({ ok: false, services: ['orders-db'], problems });

t.test('a reload is done when every worker has done it', async (t) => {
  t.same(unitedReload([reloaded, reloaded]), reloaded);
  t.match(unitedReload([reloaded, null]), { ok: false, problems: [/^worker 1 alone: it does not answer/] });
});

t.test('a problem of all workers is said once; one that only some have names them', async (t) => {
  const united = unitedReload([refused('a:1:1  wrong'), refused('a:1:1  wrong', 'the ledger does not answer')]);
  t.same(united.problems, ['a:1:1  wrong', 'worker 1 alone: the ledger does not answer']);
  t.same(unitedReload([reloaded, refused('a:1:1  wrong')]).problems, ['worker 1 alone: a:1:1  wrong']);
});

t.test('live sessions are added up over the workers that answer; with none there is no status', async (t) => {
  const status: GatewayStatus = {
    version: '0.1.0',
    gatewayId: 'a',
    pid: 1,
    startedAt: '2026-11-26T00:00:00.000Z',
    domain: 'localhost',
    scheme: 'http',
    listen: { http: '127.0.0.1:8080', postgres: null, health: null },
    liveSessions: 3,
    notReady: [],
    problems: [],
    services: [],
  };
  t.match(unitedStatus([null, status, { ...status, gatewayId: 'b', liveSessions: 4, problems: ['a:1:1  wrong'] }]), {
    gatewayId: 'a',
    workers: 3,
    liveSessions: 7,
    problems: ['a:1:1  wrong'],
  });
  t.equal(unitedStatus([null, null]), null);
});
