/* Database sessions that are opened and then say nothing, until they are asked whether they still work. */
import type pg from 'pg';
import { type Message, serveBench } from '../child.js';
import { connectedTo } from '../database.js';

const open: pg.Client[] = [];

serveBench({}, async ({ do: what, connections, ...way }: Message) => {
  if (what === 'ask') return { alive: (await Promise.all(open.map(answers))).filter(Boolean).length };
  const all = Array.from({ length: Number(connections) }, async () => {
    open.push(await connectedTo(way));
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
