import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { SoughtSecret } from '../../src/config/secret.js';
import { type PostgresParts, startPostgres } from '../../src/postgres/listener.js';
import { postgresConfig } from '../../src/postgres/policy.js';
import { policyOf, startGate } from '../gate/fixture.js';
import { portOf } from '../support/ports.js';
import { cstring, front, int32, start, WireClient, wire } from '../support/wire.js';
import { UPSTREAM } from './role.js';

export const LIMIT = 400;
export const OK = front('R', int32(0));
export const READY = front('Z', Buffer.from('I'));
export const SASL = front('R', int32(10), cstring('SCRAM-SHA-256'), Buffer.of(0));
export const challenge = (text: string) => front('R', int32(11), Buffer.from(text));

/** What a hostile server does with one connection, from its first byte on. */
export type Script = (server: WireClient) => Promise<void> | void;

/** Reads a start-up packet. */
export async function started(server: WireClient): Promise<string> {
  const length = (await server.bytes(4)).readInt32BE(0);
  return (await server.bytes(length - 4)).toString('latin1');
}

/** Reads one message of the gateway's. */
export function heard(server: WireClient) {
  return server.message();
}

export async function hostileServer(t: Test, script: Script): Promise<{ port: number; connections: Socket[] }> {
  const connections: Socket[] = [];
  const server = createServer(async (socket) => {
    connections.push(socket);
    const client = new WireClient(socket);
    await Promise.resolve(script(client)).catch(() => {}); // the gateway hangs up: that is the point
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of connections) socket.destroy();
    server.close();
  });
  return { port: portOf(server.address()), connections };
}

/**
 * A gateway's Postgres port in front of a server that follows `script`. `master` may do anything, `reader` may read.
 * @param standing - the gate of another one that is done with; one of its own unless told
 */
export async function facing(
  t: Test,
  script: Script,
  limit = LIMIT,
  role: 'master' | 'reader' = 'master',
  over: Partial<typeof UPSTREAM> = {},
  door: Partial<PostgresParts> = {},
  standing?: Awaited<ReturnType<typeof startGate>>,
) {
  const upstream = await hostileServer(t, script);
  const target = { ...UPSTREAM, ...over, port: upstream.port };
  const compile = (name: string, block: unknown) => {
    const compiled = postgresConfig.compileRole(name, [block], target);
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
    return compiled.value;
  };
  const roles = {
    master: compile('master', { allow: [{ statements: ['any'] }] }),
    reader: compile('reader', {
      search_path: ['public'],
      allow: [{ statements: ['select'], relations: ['public.orders'] }],
    }),
  };
  const secrets = [new SoughtSecret('env UPSTREAM_PASSWORD', [target.password])];
  const policy = policyOf('postgres', roles, { name: 'orders-db', secrets });
  const parts = standing ?? (await startGate(t, policy));
  parts.policies.replace(new Map([[policy.name, policy]]));
  const listener = await startPostgres({ ...parts, host: '127.0.0.1', port: 0, dialLimit: limit, ...door });
  t.teardown(() => listener.stop());
  const { handle } = parts.grants.add({ service: 'orders-db', role });
  return { ...parts, ...upstream, gatewayPort: listener.port, handle };
}

/** Presents the handle and answers what the gateway says, up to the end or the first ReadyForQuery. */
export async function knock(t: Test, port: number, handle: string) {
  const client = await wire(t, port);
  client.send(start({ user: 'alice', database: 'orders-db' }));
  await client.message();
  client.send(front('p', cstring(handle)));
  return client.until();
}

/** What a server answers one message. */
export type Answer = (server: WireClient, asked: number) => Promise<void> | void;

/**
 * Lets the gateway in by SCRAM, as a server that knows the password, and answers what a session asks with `answer`.
 * @param catalog - what it answers the gateway's own questions; it hangs up on them unless told
 */
export function honest(
  answer: Answer,
  settings: Record<string, string> = {},
  catalog: Answer = (server) => void server.socket.destroy(),
): Script {
  return async (server) => {
    const isCatalog = (await started(server)).includes('daypass-catalog');
    server.send(SASL);
    const first = /n=,r=.*$/.exec((await heard(server)).body.toString('latin1'))?.[0] ?? '';
    const salt = randomBytes(16);
    const challenged = `r=${first.slice(5)}server,s=${salt.toString('base64')},i=4096`;
    server.send(challenge(challenged));
    const final = (await heard(server)).body.toString('latin1');
    const salted = pbkdf2Sync(UPSTREAM.password, salt, 4096, 32, 'sha256');
    const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
    const signed = `${first},${challenged},${final.replace(/,p=.*$/, '')}`;
    createHash('sha256').update(hmac(salted, 'Client Key')).digest();
    server.send(
      front('R', int32(12), Buffer.from(`v=${hmac(hmac(salted, 'Server Key'), signed).toString('base64')}`)),
      OK,
    );
    const reported = {
      client_encoding: 'UTF8',
      standard_conforming_strings: 'on',
      default_transaction_read_only: 'on',
      is_superuser: 'off',
      session_authorization: 'daypass_reader',
      ...settings,
    };
    for (const [name, value] of Object.entries(reported)) server.send(front('S', cstring(name), cstring(value)));
    server.send(front('K', int32(4711), int32(815)), READY);
    for (let asked = 1; ; asked += 1) {
      await heard(server);
      await (isCatalog ? catalog : answer)(server, asked);
    }
  };
}
