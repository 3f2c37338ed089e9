import type { ServicePolicy } from '../config/protocol.js';
import { isSamePolicy } from '../config/same-upstream.js';

/** The policies in force: one immutable map, replaced whole on reload, so that nothing ever sees half of a change. */
export class Policies {
  #services: ReadonlyMap<string, ServicePolicy>;
  /** Why what stands in the files is not what is in force; empty when it is. */
  problems: readonly string[] = [];

  constructor(services: ReadonlyMap<string, ServicePolicy>) {
    this.#services = services;
  }

  get(service: string): ServicePolicy | undefined {
    return this.#services.get(service);
  }

  all(): ServicePolicy[] {
    return [...this.#services.values()];
  }

  /** What did not change stays what it is, which is all that a session has to look at. */
  replace(services: ReadonlyMap<string, ServicePolicy>): void {
    this.#services = new Map([...services].map(([name, policy]) => [name, this.#kept(policy)]));
  }

  #kept(policy: ServicePolicy): ServicePolicy {
    const before = this.#services.get(policy.name);
    return before !== undefined && isSamePolicy(before, policy) ? before : policy;
  }
}
