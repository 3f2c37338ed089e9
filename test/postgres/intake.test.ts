import { once } from 'node:events';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Intake } from '../../src/postgres/intake.js';
import { acceptedEnds } from '../support/accepted.js';
import { sync } from '../support/wire.js';

/** What is heard of a client, and how many messages in the turn of the event loop in which it was most. */
function heardOf(t: Test, accepted: Socket) {
  const intake = new Intake(accepted, 'alice');
  const heard = { messages: 0, most: 0, hasEnded: false };
  let inTurn = 0;
  let next = setImmediate(function count() {
    inTurn = 0;
    next = setImmediate(count);
  });
  t.teardown(() => clearImmediate(next));
  const message = () => {
    heard.messages += 1;
    inTurn += 1;
    heard.most = Math.max(heard.most, inTurn);
  };
  accepted.on('data', (chunk: Buffer) => intake.read(chunk, { message, copyData: () => {} }));
  accepted.once('end', () => (heard.hasEnded = true));
  return { intake, heard };
}

t.test(
  'of thousands of messages that come at once few are looked at in one turn, and all before the end',
  async (t) => {
    const { client, accepted } = await acceptedEnds(t);
    const { heard } = heardOf(t, accepted);
    client.end(Buffer.concat(Array.from({ length: 100_000 }, () => sync())));
    await once(accepted, 'end');
    t.equal(heard.messages, 100_000);
    t.ok(heard.most <= 1_024, `${heard.most} in one turn`);
  },
);

t.test('a client is read on only when there is no reason left to wait', async (t) => {
  const { client, accepted } = await acceptedEnds(t);
  const { intake, heard } = heardOf(t, accepted);
  intake.wait('record');
  intake.wait('server');
  client.end(sync());
  await new Promise((resolve) => setTimeout(resolve, 20));
  intake.goOn('record');
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.match(heard, { messages: 0, hasEnded: false });
  intake.goOn('server');
  await once(accepted, 'end');
  t.equal(heard.messages, 1);
});

/** Takes long to look at, as a statement does that is long and new. */
function laboriously(): void {
  for (const from = performance.now(); performance.now() - from < 10; );
}

t.test(
  'one person with many connections, all of whose messages are laborious, is not in front of everybody',
  async (t) => {
    const order: string[] = [];
    const ends = async (person: string, work: () => void) => {
      const { client, accepted } = await acceptedEnds(t);
      const intake = new Intake(accepted, person);
      const message = () => {
        order.push(person);
        work();
      };
      accepted.on('data', (chunk: Buffer) => intake.read(chunk, { message, copyData: () => {} }));
      return { client, accepted };
    };
    const crowd = await Promise.all(Array.from({ length: 20 }, () => ends('mallory', laboriously)));
    const alone = await ends('alice', () => {});
    const all = [...crowd, alone];
    const over = Promise.all(all.map(({ accepted }) => once(accepted, 'end')));
    for (const { client } of all) client.end(Buffer.concat([sync(), sync()]));
    await over;
    t.equal(order.length, 42, 'all of them were heard');
    t.ok(order.lastIndexOf('alice') < 20, `${order.lastIndexOf('alice')} before the last of another person`);
  },
);
