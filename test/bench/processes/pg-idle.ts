/* Database sessions that are opened and then say nothing, until they are asked whether they still work. */
import pg from 'pg';
import { type Message, serveBench } from '../child.js';

const open: pg.Client[] = [];

serveBench({}, async ({ do: what, connections, ...way }: Message) => {
  if (what === 'ask') return { alive: (await Promise.all(open.map(answers))).filter(Boolean).length };
  const { port, user, database, password } = way;
  const all = Array.from({ length: Number(connections) }, async () => {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: Number(port),
      user: String(user),
      database: String(database),
      password: String(password),
    });
    client.on('error', () => {});
    await client.connect();
    open.push(client);
  });
  await Promise.all(all);
  return { open: open.length };
});

function answers(client: pg.Client): Promise<boolean> {
  return client.query('select 1').then(
    () => true,
    () => false,
  );
}
