import t from 'tap';
import type { PostgresTarget } from '../../src/postgres/role.js';
import { loadCatalog } from '../../src/postgres/upstream-catalog.js';
import { loadRights } from '../../src/postgres/upstream-rights.js';
import { heard, hostileServer, started } from '../postgres/hostile.js';
import { UPSTREAM } from '../postgres/role.js';
import { front, int32 } from '../support/wire.js';

/** This machine by an address that is none of loopback's: for the gateway a server somewhere else. */
const ELSEWHERE = '0.0.0.0';

const QUESTIONS: readonly [string, (target: PostgresTarget) => Promise<unknown>][] = [
  ['the catalog', loadCatalog],
  ['the rights', loadRights],
];

t.test(
  'C23: no question of the gateway gives a server the injected password in clear without TLS, or as MD5',
  async (t) => {
    for (const [method, request] of [
      ['cleartext', front('R', int32(3))],
      ['MD5', front('R', int32(5), int32(1))],
    ] as const) {
      for (const [question, ask] of QUESTIONS) {
        const told: string[] = [];
        const { port } = await hostileServer(t, async (server) => {
          await started(server);
          server.send(request);
          told.push((await heard(server)).body.toString('latin1'));
        });
        await t.rejects(
          ask({ ...UPSTREAM, host: ELSEWHERE, port }),
          { code: 'upstream_auth' },
          `${method}: ${question}`,
        );
        t.same(told, [], `${method}: ${question}`);
      }
    }
  },
);
