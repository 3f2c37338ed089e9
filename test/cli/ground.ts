import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { addPeople, DUTIES } from '../api/ground.js';
import { startService, webPolicy } from '../http/browser/fixture.js';
import { ordersDatabase } from '../postgres/fixture.js';
import type { Running } from '../support/commands.js';
import { startGateway } from '../support/gateway.js';
import { portOf } from '../support/ports.js';
import { atHome } from './home.js';

export const TASK = 'Find out why order 4711 was charged twice';

/** A gateway with a database and a web service, behind an address that stays when it is started anew. */
export async function ground(t: Test, { drain = '0s' } = {}) {
  const [orders, web] = [await ordersDatabase(t), await startService(t)];
  const policy = orders.policy({ more: '' });
  const services = { 'orders-db': `${policy}access: { approvals: 1 }\n`, web: webPolicy(web.url) };
  const settings = DUTIES.replace('drain: 0s', `drain: ${drain}`);
  const options = { services, settings, env: orders.env };
  let gateway = await startGateway(t, options);
  await addPeople(gateway);
  await gateway.ledger.query("update daypass.people set groups = '{payments-leads}' where subject = 'lee'");
  const front = await frontOf(t, () => gateway.ports.http);
  return {
    orders,
    front,
    get gateway() {
      return gateway;
    },
    /** One act of somebody, over the API. */
    ask: async (token: string, path: string, body: object): Promise<Record<string, unknown>> => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const where = `http://localhost:${front.port}/api/v1${path}`;
      const answer = await fetch(where, { method: 'POST', headers, body: JSON.stringify(body) });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      const told: Record<string, unknown> = JSON.parse(text);
      return told;
    },
    home: (subject: string) => atHome(t, gateway, subject, front.port),
    /** Stops the gateway; the answer starts it anew. */
    stop: async () => {
      await gateway.stop();
      return async () => {
        gateway = await startGateway(t, { ...options, ledger: gateway.ledger });
      };
    },
  };
}

/** Where clients find the gateway: what a load balancer is. */
async function frontOf(t: Test, port: () => number) {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port(), '127.0.0.1');
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const drop = () => {
    for (const socket of open) socket.destroy();
  };
  t.teardown(() => {
    drop();
    server.close();
  });
  return { port: portOf(server.address()), drop };
}

/** The port that a `daypass connect` says it has. */
export async function portTold(running: Running): Promise<number> {
  const said = await running.shows(/127\.0\.0\.1:\d+ leads to/);
  return Number(/127\.0\.0\.1:(\d+) leads to/.exec(said)?.[1]);
}
