import { Duplex } from 'node:stream';
import { Passage } from '../../src/gate/passage.js';
import type { Session } from '../../src/session/session.js';
import { echoProtocol } from '../gate/echo-protocol.js';
import type { startGate } from '../gate/fixture.js';
import { closed } from '../support/wait.js';
import type { Client, End } from './clients.js';
import type { Grant } from './ground.js';

/** What a service answers. */
export const ROW = Buffer.from('row');

/** A client without a socket, and the session it holds. */
export interface Stubbed {
  readonly client: Client;
  readonly session: Session;
  /** When its grant ends, milliseconds since the epoch: not soon, until it is said. */
  due: number;
  /** Says when its grant ends, as a renewal does. */
  endAt(due: number): void;
  /** Its service answers with one more row. */
  give(): void;
  /** What it was told at the end. */
  said(): string;
  severed(): boolean;
}

/** Takes what it is given and remembers when; what its client was told and when it ended. */
class Stub extends Duplex {
  said = '';
  lastByte = 0;

  override _read(): void {}

  override _write(chunk: Buffer, _: string, done: () => void): void {
    if (chunk.includes('ended')) this.said = chunk.toString();
    else this.lastByte = Date.now();
    done();
  }
}

class StubClient implements Client {
  readonly name: string;
  grant: Grant;
  readonly answered = new Set<string>();
  readonly refusals: [] = [];
  readonly ended: Promise<End>;
  readonly #stub: Stub;
  #left = false;

  constructor(name: string, grant: Grant, stub: Stub) {
    this.name = name;
    this.grant = grant;
    this.#stub = stub;
    this.ended = closed(stub).then(() => this.#end());
  }

  get lastByte(): number {
    return this.#stub.lastByte;
  }

  leave(): Promise<End> {
    this.#left = !this.#stub.destroyed;
    this.#stub.destroy();
    return this.ended;
  }

  stall(): void {}

  /** Told as a WebSocket's client is: it has no protocol of its own. */
  #end(): End {
    const { said } = this.#stub;
    return {
      at: Date.now(),
      told: said === '' ? null : { code: '4001', message: said },
      mid: false,
      left: this.#left,
    };
  }
}

let clients = 0;

/**
 * Lets a client in with a grant of its own, and has it do one thing, which its service sees and answers.
 * @param saw - what the services see
 */
export async function stubbed(
  { gate, grants, log }: Awaited<ReturnType<typeof startGate>>,
  saw: string[],
): Promise<Stubbed> {
  const token = `n${clients++}_0_`;
  const { grant, handle } = grants.add();
  const answer = await gate.admit({ protocol: 'echo', service: 'echo', credential: handle, client: 'stub' });
  if (!answer.ok) throw new Error(answer.decision.message);
  const { session } = answer.admission;
  const stub = new Stub();
  const held = {
    id: grant.id,
    handle,
    expiresAt: new Date(grant.expiresAt).toISOString(),
    service: 'echo',
    revokedAt: null,
  };
  const client = new StubClient(`stub ${token}`, held, stub);
  let severed = false;
  session.attach({
    client: stub,
    severUpstream: () => {
      severed = true;
    },
    farewell: ({ message }) => void stub.write(message),
    warn: () => {},
    policyChanged: () => {},
  });
  const give = () => {
    if (session.end === null) session.toClients.deliver(stub, ROW);
  };
  const passage = new Passage(session, echoProtocol, log);
  passage.propose(`say ${token}`);
  passage.release(() => {
    saw.push(token);
    client.answered.add(token);
    give();
  });
  const one: Stubbed = {
    ...{ client, session, due: grant.expiresAt, give },
    endAt: (due) => {
      session.renew({ ...session.grant, expiresAt: due });
      client.grant = { ...client.grant, expiresAt: new Date(due).toISOString() };
      one.due = due;
    },
    said: () => stub.said,
    severed: () => severed,
  };
  return one;
}
