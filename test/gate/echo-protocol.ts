import { connect, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Gate } from '../../src/gate/gate.js';
import { Passage } from '../../src/gate/passage.js';
import type { Protocol } from '../../src/gate/protocol.js';
import type { Log } from '../../src/log.js';
import { allow, deny } from '../../src/policy/decision.js';

/** A role of the line protocol: the first words a line may begin with. */
export type EchoRole = ReadonlySet<string>;

/** The smallest protocol there can be: a line is an action, its first word is what a role allows, the upstream answers lines. */
export const echoProtocol: Protocol<EchoRole, string, { port: number }> = {
  name: 'echo',
  upstream: () => z.strictObject({ port: z.number() }),
  role: () => z.strictObject({ allow: z.array(z.string()) }),
  compileRole: (_, chain) => ({
    ok: true,
    value: new Set(chain.flatMap((block) => z.object({ allow: z.array(z.string()) }).parse(block).allow)),
  }),
  rulesOf: (role) => [...role],
  narrow: (role, texts) => new Set([...role].filter((word) => texts.has(word))),
  looser: () => [],
  injected: () => [],
  decide: (role, line) => {
    const [word = ''] = line.split(' ');
    if (word === 'crash') throw new Error('a decision that fails');
    return role.has(word) ? allow(word) : deny('out_of_scope', `no rule allows ${word}`, `${word} is outside the role`);
  },
  describe: (line) => {
    if (line.includes('unspeakable')) throw new RangeError('words fail');
    return { facts: { verb: line.split(' ')[0] ?? '' }, payload: { text: line } };
  },
  actionFromWords: (words) => words.join(' '),
  render: ({ payload }) => payload?.text ?? '',
};

/** Serves it: the first line is the handle, every other one goes through the gate and then to the upstream. */
export function serveEcho(gate: Gate, upstreamPort: number, log: Log): Server {
  return createServer(async (client) => {
    client.on('error', () => client.destroy());
    const lines = createInterface(client)[Symbol.asyncIterator]();
    const first = await lines.next();
    const credential = first.done ? null : String(first.value);
    const answer = await gate.admit({
      protocol: 'echo',
      service: 'echo',
      credential,
      client: `${client.remoteAddress}`,
    });
    if (!answer.ok) return void client.end(`refused ${answer.decision.reason}\n`);
    const { session } = answer.admission;
    const upstream = connect(upstreamPort, '127.0.0.1').on('error', () => client.destroy());
    const passage = new Passage(session, echoProtocol, log);
    session.attach({
      client,
      severUpstream: () => upstream.destroy(),
      farewell: ({ reason }) => client.write(`cut ${reason}\n`),
      warn: (message) => client.write(`warning ${message}\n`),
      policyChanged: () => {},
    });
    upstream.on('data', (chunk) => session.toClients.deliver(client, chunk));
    client.on('close', () => session.finish('client_left'));
    passage.release(() => client.write('welcome\n'));
    for (let next = await lines.next(); !next.done; next = await lines.next())
      forward(String(next.value), passage, client, upstream);
  });
}

function forward(line: string, passage: Passage<string>, client: Socket, upstream: Socket): void {
  if (!passage.session.isLive()) return;
  const { decision } = passage.propose(line);
  passage.release(() =>
    decision.outcome === 'allow' ? upstream.write(`${line}\n`) : client.write(`denied ${decision.reason}\n`),
  );
}
