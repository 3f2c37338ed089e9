/* Many idle clients of `leases.js`: each is told when its lease ends, and says how late the farewell was. */
import { connect } from 'node:net';
import { type Message, serveBench } from '../child.js';

const AT_ONCE = 200;
/** Milliseconds. */
const PATIENCE = 30_000;

serveBench({}, async (question: Message) => {
  if (question.do === 'connect') return open(Number(question.port), Number(question.clients));
  await Promise.race([Promise.all(closing), overdue(Number(question.ends))]);
  return { late: farewells.splice(0), closed: closed.splice(0) };
});

const farewells: number[] = [];
const closed: number[] = [];
let closing: Promise<void>[] = [];

async function open(port: number, clients: number): Promise<Message> {
  closing = [];
  let left = clients;
  const from = process.hrtime.bigint();
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await held(port);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { seconds: Number(process.hrtime.bigint() - from) / 1e9 };
}

/** Rejects a while after the last lease ended: whoever is still connected then was not cut. */
function overdue(ends: number): Promise<never> {
  return new Promise((_, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`${closing.length - closed.length} clients were not cut`)),
      ends + PATIENCE - Date.now(),
    );
    timer.unref();
  });
}

/** Resolves when the gateway has said when the lease ends; rejects when it closes without having said so. */
function held(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let expiresAt = 0;
    let told = false;
    socket.once('error', reject);
    socket.on('data', (chunk: Buffer) => {
      if (expiresAt === 0) {
        expiresAt = Number.parseInt(chunk.toString(), 10);
        resolve();
      } else if (!told) {
        told = true;
        farewells.push(Date.now() - expiresAt);
      }
    });
    closing.push(
      new Promise((gone) => {
        socket.once('close', () => {
          closed.push(Date.now() - expiresAt);
          reject(new Error('a client was closed before it held a lease'));
          gone();
        });
      }),
    );
  });
}
