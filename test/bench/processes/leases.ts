/*
 * Leases in a gateway process: `leases.js <ledger url>`. The gate, its sessions, the deadlines and the recorder are the
 * real ones; around them stand a protocol that says nothing but its farewell, and grants that exist in memory. Each connection
 * to its port becomes a session of a grant of its own that ends when the bench says.
 */
import { createServer, type Socket } from 'node:net';
import { systemClock as clock } from '../../../src/clock.js';
import type { ServicePolicy } from '../../../src/config/protocol.js';
import { Gate } from '../../../src/gate/gate.js';
import { Policies } from '../../../src/gate/policies.js';
import type { Grant } from '../../../src/grant/grant.js';
import { confirmationOf, formatHandle, mintId, mintSecret } from '../../../src/grant/handle.js';
import { createLog } from '../../../src/log.js';
import { openDatabase } from '../../../src/recording/database.js';
import { ensurePartitions, migrate } from '../../../src/recording/migrate.js';
import { Recorder } from '../../../src/recording/recorder.js';
import { portOf } from '../../support/ports.js';
import { type Message, serveBench } from '../child.js';

const policy: ServicePolicy = {
  name: 'leases',
  protocol: 'leases',
  lane: 'code',
  owner: 'group:bench',
  upstream: null,
  roles: new Map([['holder', {}]]),
  defaultRole: 'holder',
  rulesOf: () => [],
  roleFor: () => ({}),
  looser: () => [],
  grants: { maxDurationSeconds: 3600, maxRenewals: 0 },
  recording: { mode: 'strict' },
  secrets: [],
  certificate: null,
  version: 'bench',
  text: '',
};

const log = createLog();
const pool = openDatabase(process.argv[2] ?? '', { max: 2, log });
await migrate(pool);
await ensurePartitions(pool, clock.wall());
const recorder = new Recorder({ pool, gatewayId: crypto.randomUUID(), clock, log });
const issued = new Map<string, Grant>();
const grants = {
  check: (id: string) => {
    const grant = issued.get(id);
    return Promise.resolve(
      grant === undefined
        ? ({ ok: false, reason: 'unknown_grant', message: 'no such grant' } as const)
        : ({ ok: true, grant } as const),
    );
  },
};
const gate = new Gate({ grants, policies: new Policies(new Map([[policy.name, policy]])), recorder, clock, log });

/** When the next grants end: the first of them, and how far the others lie apart, milliseconds. */
let ends = 0;
let apart = 0;
let admitted = 0;

const server = createServer({ noDelay: true }, (socket) => void hold(socket));
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  const port = portOf(server.address());
  serveBench({ port }, answer);
});

async function answer(question: Message): Promise<Message> {
  if (question.do === 'plan') {
    ends = Number(question.ends);
    apart = Number(question.apart);
    admitted = 0;
    return {};
  }
  await recorder.drain(30_000);
  const { rows } = await pool.query<{ late: number }>(
    'select (extract(epoch from cut_at - due_at) * 1000)::float8 as late from sessions where due_at >= to_timestamp($1 / 1000.0)',
    [ends - 1],
  );
  return { late: rows.map((row) => row.late), live: gate.live.registry.all().length };
}

async function hold(socket: Socket): Promise<void> {
  socket.on('error', () => socket.destroy());
  const { grant, handle } = issue(ends + apart * admitted);
  admitted += 1;
  const answer = await gate.admit({ protocol: 'leases', service: policy.name, credential: handle, client: 'bench' });
  if (!answer.ok) return void socket.destroy();
  const { session } = answer.admission;
  session.attach({
    client: socket,
    severUpstream: () => {},
    farewell: ({ message }) => void socket.write(`${message}\n`),
    warn: () => {},
    policyChanged: () => {},
  });
  socket.once('close', () => session.finish('client_left'));
  session.recording.whenSafe(() => socket.write(`${grant.expiresAt}\n`));
}

function issue(expiresAt: number): { grant: Grant; handle: string } {
  const id = mintId();
  const secret = mintSecret();
  const now = clock.wall();
  const grant: Grant = {
    id,
    service: policy.name,
    principal: 'alice',
    role: 'holder',
    sponsor: 'dana',
    reason: 'a lease of the bench',
    lane: 'code',
    owner: policy.owner,
    issuedAt: now,
    notBefore: now,
    expiresAt,
    renewals: 0,
    ...{ groups: [], request: null, nda: null, window: null, only: null },
    confirmation: confirmationOf(secret),
    scram: null,
    token: 'bench',
  };
  issued.set(id, grant);
  return { grant, handle: formatHandle({ id, secret }) };
}
