import { getEventListeners } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { limited } from '../src/limited.js';
import { noted } from './support/noted.js';

t.test('what is done is over when the signal says stop, or after its time, and says why', async (t) => {
  const stopping = new AbortController();
  const forever = (limit: AbortSignal) => pause(60_000, 'done', { signal: limit });
  t.equal(await limited(stopping.signal, 60_000, () => pause(1, 'done')), 'done');
  await t.rejects(limited(stopping.signal, 20, forever), { name: 'AbortError', cause: { name: 'TimeoutError' } });
  const under = limited(stopping.signal, 60_000, forever);
  stopping.abort(new Error('the gateway stops'));
  await t.rejects(under, { cause: { message: 'the gateway stops' } });
  await t.rejects(limited(stopping.signal, 60_000, forever), { cause: { message: 'the gateway stops' } });
});

t.test('a signal that lives long remembers nothing of what was done under it', async (t) => {
  const { signal } = new AbortController();
  for (let n = 0; n < 10; n += 1) {
    await limited(signal, 60_000, (limit) => pause(0, undefined, { signal: limit }));
    await t.rejects(limited(signal, 60_000, () => Promise.reject(new Error('failed'))));
  }
  t.equal(noted(signal), 0);
  const under = limited(signal, 60_000, () => pause(20));
  t.equal(getEventListeners(signal, 'abort').length, 1);
  await under;
});
