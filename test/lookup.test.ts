import { createHook } from 'node:async_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { lookupOnce } from '../src/lookup.js';

interface Answer {
  readonly error: NodeJS.ErrnoException | null;
  readonly addresses: unknown;
}

function ask(name: string): Promise<Answer> {
  return new Promise((resolve) => {
    lookupOnce(name, { all: true }, (error, addresses) => resolve({ error, addresses }));
  });
}

t.test('the system is asked for a name once, however many wait for its addresses', async (t) => {
  const asked: string[] = [];
  const hook = createHook({ init: (_id, type) => void asked.push(type) }).enable();
  t.teardown(() => hook.disable());
  const lookups = () => asked.filter((type) => type === 'GETADDRINFOREQWRAP').length;
  const nobodys = 'x'.repeat(300); // too long for a name server to be asked
  const names = ['localhost', 'localhost', 'localhost', nobodys, 'localhost', nobodys];
  const answers = await Promise.all(names.map(ask));
  t.equal(lookups(), 2, 'once for each name');
  const [first, , , none] = answers;
  t.match(first, { error: null, addresses: [{ address: /^(127\.0\.0\.1|::1)$/ }] });
  t.match(none, { error: { syscall: 'getaddrinfo' } });
  for (const [i, answer] of answers.entries()) t.same(answer, names[i] === 'localhost' ? first : none);
  await pause(0);
  await ask('localhost');
  t.equal(lookups(), 3, 'an answer is kept for nobody who asks later');
});
