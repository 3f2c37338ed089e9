import type { ServicePolicy } from '../config/protocol.js';

/** The policies in force: one immutable map, replaced whole on reload, so that nothing ever sees half of a change. */
export class Policies {
  #services: ReadonlyMap<string, ServicePolicy>;

  constructor(services: ReadonlyMap<string, ServicePolicy>) {
    this.#services = services;
  }

  get(service: string): ServicePolicy | undefined {
    return this.#services.get(service);
  }

  all(): ServicePolicy[] {
    return [...this.#services.values()];
  }

  replace(services: ReadonlyMap<string, ServicePolicy>): void {
    this.#services = services;
  }
}
