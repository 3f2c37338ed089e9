/* Connects to a database and leaves, eight at a time. */
import pg from 'pg';
import { type Message, serveBench } from '../child.js';

const AT_ONCE = 8;

serveBench({}, async ({ port, user, database, password, milliseconds }: Message) => {
  const until = Date.now() + Number(milliseconds);
  const config = {
    host: '127.0.0.1',
    port: Number(port),
    user: String(user),
    database: String(database),
    password: String(password),
  };
  let made = 0;
  const worker = async () => {
    while (Date.now() < until) {
      const client = new pg.Client(config);
      await client.connect();
      made += 1;
      await client.end();
    }
  };
  const from = process.hrtime.bigint();
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { perSecond: made / (Number(process.hrtime.bigint() - from) / 1e9) };
});
