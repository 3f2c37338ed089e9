import { lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';

type Answered = Parameters<LookupFunction>[2];

/** Who waits for an answer, by what was asked. */
const waiting = new Map<string, Answered[]>();

/**
 * Asks the system for the addresses of a name, once for all who ask while there is no answer. The system is asked by a few
 * threads of the process (libuv: two at a time), each of which waits as long as a name server does: connection after connection to one
 * service whose name nobody answers for would keep every other name from being asked for.
 */
export const lookupOnce: LookupFunction = (name, options, answered) => {
  const asked = JSON.stringify([name, options]);
  const others = waiting.get(asked);
  if (others !== undefined) return void others.push(answered);
  waiting.set(asked, [answered]);
  lookup(name, options, (...answer) => {
    const all = waiting.get(asked) ?? [];
    waiting.delete(asked);
    for (const one of all) one(...answer);
  });
};
