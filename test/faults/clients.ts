import type { EventEmitter } from 'node:events';
import { type ClientRequest, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Test } from 'tap';
import WebSocket from 'ws';
import type { GatewayProcess } from '../support/gateway-process.js';
import type { Grant } from './ground.js';

/** How something of a client's came to its end. */
export interface End {
  readonly at: number;
  /** What the gateway said, in the client's own protocol: SQLSTATE, HTTP status or close code, and its words. */
  readonly told: { readonly code: string; readonly message: string } | null;
  /** It ended inside a message or a body, where nothing can be said. */
  readonly mid: boolean;
  /** The client went by itself. */
  readonly left: boolean;
}

/** One client of the workload: what it was given and when, what was answered, how it ended. */
export interface Client {
  readonly name: string;
  readonly grant: Grant;
  /** When it was last given a byte that comes from a service, milliseconds since the epoch. */
  readonly lastByte: number;
  /** The tokens of what was answered. */
  readonly answered: Set<string>;
  /** Refusals on the way that did not end it (an HTTP request each). */
  readonly refusals: { readonly code: string; readonly message: string }[];
  readonly ended: Promise<End>;
  /** Goes by itself; resolves at its end. */
  leave(): Promise<End>;
  /** Reads no further. */
  stall(): void;
}

/** What every statement, request and message carries, so that it can be found again. */
export const TOKEN = /n\d+_\d+_/g;
let workers = 0;

function numbers(): () => string {
  const worker = workers++;
  let count = 0;
  return () => `n${worker}_${count++}_`;
}

type State = Omit<Client, 'ended' | 'leave' | 'stall' | 'lastByte'> & { lastByte: number };

function state(name: string, grant: Grant): State {
  return { name, grant, lastByte: 0, answered: new Set(), refusals: [] };
}

/** Where a server's stream of messages stands: whether it ended inside one. */
class Messages {
  #left = 0;
  #header = Buffer.alloc(0);

  get mid(): boolean {
    return this.#left > 0 || this.#header.length > 0;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#left -= taken;
        at += taken;
        continue;
      }
      const taken = Math.min(5 - this.#header.length, chunk.length - at);
      this.#header = Buffer.concat([this.#header, chunk.subarray(at, at + taken)]);
      at += taken;
      if (this.#header.length < 5) continue;
      this.#left = this.#header.readInt32BE(1) - 4;
      this.#header = Buffer.alloc(0);
    }
  }
}

export type DatabaseWork = 'statements' | 'rows' | 'wide' | 'long' | 'idle' | 'copy' | 'pipeline';

/** Rows of 9 kB, fifty a second. */
const ROWS = `select repeat('x', 9000), pg_sleep(0.02) from generate_series(1, 100000)`;
/** Rows of 200 kB: larger than what the gateway keeps back to give a message whole. */
const WIDE = `select repeat('x', 200000), pg_sleep(0.02) from generate_series(1, 100000)`;
/** As many as are read. */
const FLOOD = `select repeat('x', 9000) from generate_series(1, 1000000)`;
/** The work that is one statement; an idle client has had its answer and says no more. */
const ONE: Readonly<Record<string, string>> = {
  rows: ROWS,
  wide: WIDE,
  flood: FLOOD,
  long: 'select pg_sleep(120)',
  idle: 'select count(*) from orders',
};

/** A database client that works until it ends. Rejects with the gateway's refusal when it is not let in. */
export async function database(
  t: Test,
  { ports }: GatewayProcess,
  grant: Grant,
  work: DatabaseWork | 'flood' = 'statements',
): Promise<Client> {
  const of = state(`${grant.service} ${work}`, grant);
  const client = new pg.Client({
    host: '127.0.0.1',
    port: ports.postgres,
    user: 'alice',
    database: grant.service,
    password: grant.handle,
  });
  client.on('error', () => {}); // being cut is what these tests are about
  const { connection } = client as unknown as { connection: EventEmitter & { stream: NodeJS.ReadStream } };
  const messages = new Messages();
  let told: End['told'] = null;
  let left = false;
  connection.stream.on('data', (chunk: Buffer) => {
    messages.push(chunk);
    // What begins with the gateway's own farewell carries nothing of a service.
    if (!(chunk[0] === 0x45 && chunk.includes('Daypass'))) of.lastByte = Date.now();
  });
  connection.on('errorMessage', ({ code = '', message }: Error & { code?: string }) => {
    if (/Daypass/.test(message)) told = { code, message };
  });
  const ended = new Promise<End>((resolve) => {
    connection.once('end', () => resolve({ at: Date.now(), told, mid: messages.mid, left }));
  });
  await client.connect();
  // Not its `end`, which waits for the other side: a socket that is paused never hears of that.
  t.teardown(() => connection.stream.destroy());
  void workOn(client, work, of.answered).catch(() => {}); // its connection ended
  const leave = () => {
    left = true;
    connection.stream.destroy();
    return ended;
  };
  return Object.assign(of, { ended, leave, stall: () => void connection.stream.pause() });
}

async function workOn(client: pg.Client, work: DatabaseWork | 'flood', answered: Set<string>): Promise<void> {
  const next = numbers();
  if (work === 'copy') return copyIn(client, next(), answered);
  if (work === 'pipeline') return pipeline(client, next(), answered);
  if (work in ONE) {
    const only = next();
    await client.query(`${ONE[work]} /* ${only} */`);
    return void answered.add(only);
  }
  for (;;) {
    const [simple, extended] = [next(), next()];
    await client.query(`select count(*) from orders /* ${simple} */`);
    answered.add(simple);
    await client.query({ text: `select id from orders where customer = $1 /* ${extended} */`, values: ['customer 1'] });
    answered.add(extended);
    await pause(5);
  }
}

/** COPY FROM STDIN with a row now and then, and no end. `answered` has it once the server takes rows. */
async function copyIn(client: pg.Client, token: string, answered: Set<string>): Promise<void> {
  const stream = client.query(copyFrom(`copy order_items from stdin /* ${token} */`));
  const { connection } = client as unknown as { connection: EventEmitter };
  connection.once('copyInResponse', () => answered.add(token));
  const timer = setInterval(() => stream.write('1\tsku\t1\n'), 20);
  connection.once('end', () => clearInterval(timer));
  stream.on('error', () => clearInterval(timer));
}

/** The extended protocol as pg's own connection speaks it; its types leave it out. */
interface Extended extends EventEmitter {
  parse(query: { text: string; name: string; types: number[] }): void;
  bind(config: { portal: string; statement: string; values: string[] }): void;
  execute(config: { portal: string; rows: number }): void;
  flush(): void;
}

/** Parse, Bind, Execute and Flush, and never a Sync: the server waits inside the pipeline. */
async function pipeline(client: pg.Client, token: string, answered: Set<string>): Promise<void> {
  const { connection } = client as unknown as { connection: Extended };
  // The client would take answers that no query of its own waits for as a fault.
  for (const event of ['parseComplete', 'dataRow', 'commandComplete']) connection.removeAllListeners(event);
  connection.once('commandComplete', () => answered.add(token));
  connection.parse({ text: `select id from orders limit 1 /* ${token} */`, name: '', types: [] });
  connection.bind({ portal: '', statement: '', values: [] });
  connection.execute({ portal: '', rows: 0 });
  connection.flush();
}

/** A client that asks one request after the other, until it leaves. A refusal is noted and does not end it. */
export function requests({ ports }: GatewayProcess, grant: Grant): Client {
  const of = state(`${grant.service} requests`, grant);
  const next = numbers();
  let left = false;
  const work = async (): Promise<End> => {
    while (!left) {
      const one = next();
      const answer = await get(ports.http, grant, `/n/${one}`, () => {}).ended;
      if (answer.told === null) {
        of.answered.add(one);
        of.lastByte = answer.at;
      } else of.refusals.push(answer.told);
      await pause(answer.told === null ? 5 : 50);
    }
    return { at: Date.now(), told: null, mid: false, left };
  };
  const ended = work();
  const leave = () => {
    left = true;
    return ended;
  };
  return Object.assign(of, { ended, leave, stall: () => {} });
}

/** One request whose answer is read to its end: the event stream, or what never answers. */
export function streaming({ ports }: GatewayProcess, grant: Grant, path = '/stream'): Client {
  const of = state(`${grant.service} ${path}`, grant);
  const asked = get(ports.http, grant, path, () => {
    of.lastByte = Date.now();
  });
  return Object.assign(of, asked);
}

/** A request whose body never ends: a chunk now and then, and no answer before it. */
export function uploading({ ports }: GatewayProcess, grant: Grant): Client {
  const of = state(`${grant.service} /upload`, grant);
  const asked = get(
    ports.http,
    grant,
    '/upload',
    () => {},
    (request) => {
      const timer = setInterval(() => request.write('a part of a body\n'), 20);
      request.once('close', () => clearInterval(timer));
      request.once('response', () => clearInterval(timer));
    },
  );
  return Object.assign(of, asked);
}

/** @param send - sends the body, if there is one */
function get(
  port: number,
  { service, handle }: Grant,
  path: string,
  given: () => void,
  send?: (request: ClientRequest) => void,
) {
  const headers = { host: `${service}.localhost`, authorization: `Bearer ${handle}` };
  const method = send === undefined ? 'GET' : 'PUT';
  const asked = request({ host: '127.0.0.1', port, method, path, headers, agent: false });
  let left = false;
  let stalled = () => {};
  const ended = new Promise<End>((resolve) => {
    const end = (told: End['told'], mid = false) => resolve({ at: Date.now(), told, mid, left });
    asked.once('error', (error) => end({ code: '', message: `no answer: ${error.message}` }));
    asked.once('response', (response) => {
      const { statusCode = 0 } = response;
      const body: Buffer[] = [];
      stalled = () => void response.pause();
      response.on('error', () => {});
      response.on('data', (chunk: Buffer) => {
        if (statusCode < 400) given();
        else body.push(chunk);
      });
      response.once('close', () => {
        if (statusCode < 400) end(null, !response.complete);
        else end({ code: String(statusCode), message: Buffer.concat(body).toString() });
      });
    });
  });
  if (send === undefined) asked.end();
  else send(asked);
  const leave = () => {
    left = true;
    asked.destroy();
    return ended;
  };
  return { ended, leave, stall: () => stalled() };
}

/** A WebSocket that echoes numbered messages, or listens. Rejects with the gateway's refusal when it is not opened. */
export async function webSocket(
  t: Test,
  { ports }: GatewayProcess,
  grant: Grant,
  path: '/live' | '/ticks' | '/pour' | '/mute' = '/live',
): Promise<Client> {
  const of = state(`${grant.service} ${path}`, grant);
  const socket = new WebSocket(`ws://127.0.0.1:${ports.http}${path}`, {
    headers: { host: `${grant.service}.localhost`, authorization: `Bearer ${grant.handle}` },
    perMessageDeflate: false,
  });
  t.teardown(() => socket.terminate());
  socket.on('error', () => {});
  let left = false;
  const next = numbers();
  const send = () => {
    if (path === '/live' && socket.readyState === WebSocket.OPEN) socket.send(next());
  };
  let stalled = false;
  socket.on('message', (data) => {
    // What a stalled client had before it stalled is handed out at its end: nobody gave it that then.
    if (!stalled) of.lastByte = Date.now();
    if (path !== '/live') return;
    of.answered.add(String(data));
    setTimeout(send, 5);
  });
  const ended = new Promise<End>((resolve) => {
    socket.once('close', (code, reason) => {
      const told = code === 1006 ? null : { code: String(code), message: reason.toString() };
      resolve({ at: Date.now(), told, mid: code === 1006, left });
    });
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
    socket.once('unexpected-response', (_, response) => {
      const body: Buffer[] = [];
      response.on('data', (chunk: Buffer) => body.push(chunk));
      response.once('end', () => reject(new Refused(response.statusCode ?? 0, Buffer.concat(body).toString())));
    });
  });
  send();
  const leave = () => {
    left = true;
    socket.terminate();
    return ended;
  };
  const stall = () => {
    stalled = true;
    socket.pause();
  };
  return Object.assign(of, { ended, leave, stall });
}

/** The gateway's refusal of a WebSocket. */
class Refused extends Error {
  readonly code: string;

  constructor(status: number, body: string) {
    super(body);
    this.code = String(status);
  }
}
