import { askWorker } from './ask.js';
import type { Crew } from './crew.js';

/** A worker that takes longer cannot be counted on, milliseconds. */
export const HEALTH_WITHIN = 2_000;

/** Asks every worker what it lacks. */
export class CrewHealth {
  readonly #crew: Crew;
  readonly #sockets: readonly string[];

  constructor(crew: Crew, sockets: readonly string[]) {
    this.#crew = crew;
    this.#sockets = sockets;
  }

  /** The workers that do not serve. None while the gateway stops: those that have ended are not to be started again. */
  down(): Record<string, string> {
    if (this.#crew.stopping) return {};
    const down = this.#crew.members.filter(({ up }) => !up);
    return Object.fromEntries(down.map(({ index }) => [`worker ${index}`, 'it does not serve']));
  }

  /** What is missing for work, by worker and name. */
  async missing(): Promise<Record<string, string>> {
    const all = await Promise.all(this.#crew.members.map(({ index, up }) => this.#lacking(index, up)));
    const stopping = this.#crew.stopping ? { accepting: 'the gateway is stopping' } : {};
    return Object.assign(stopping, ...all);
  }

  async #lacking(index: number, up: boolean): Promise<Record<string, string>> {
    if (!up) return { [`worker ${index}`]: 'it does not serve' };
    try {
      const question = { method: 'GET', path: '/v1/health', within: HEALTH_WITHIN } as const;
      const { body } = await askWorker<{ missing: Record<string, string> }>(this.#sockets[index] ?? '', question);
      return Object.fromEntries(Object.entries(body.missing).map(([name, why]) => [`worker ${index} ${name}`, why]));
    } catch {
      return { [`worker ${index}`]: 'it does not answer' };
    }
  }
}
