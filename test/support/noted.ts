import { getEventListeners } from 'node:events';

/** How much a signal has on its hands: listeners, and the signals that Node has noted in it (`AbortSignal.any`). */
export function noted(signal: AbortSignal): number {
  const kept = Object.getOwnPropertySymbols(signal).map((symbol) => Reflect.get(signal, symbol) as unknown);
  return kept.filter(isSet).reduce((sum, { size }) => sum + size, getEventListeners(signal, 'abort').length);
}

/** Node's own sets are no instances of ours. */
function isSet(one: unknown): one is Set<unknown> {
  return typeof one === 'object' && one !== null && 'size' in one && 'add' in one;
}
