import type { Person } from './people.js';

/** What someone may do on the gateway itself. Service owners are so for the services whose `owner` group they are in. */
export type Duty = 'operator' | 'reviewer';

/** The groups whose members have each duty, as `daypass.yaml` names them, without `group:`. */
export type Duties = Readonly<Record<Duty, readonly string[]>>;

/** Who acts, and by which door they came. */
export interface Actor {
  /** A person's subject; on the operator's socket whatever name the operator gave. */
  readonly subject: string;
  /** `socket`: the operator of this machine, who is nobody's account. */
  readonly via: 'socket' | 'browser' | 'token';
  readonly groups: readonly string[];
  readonly duties: ReadonlySet<Duty>;
}

/** A person who came over the network. Only groups of an open account count. */
export function actorOf(person: Person, duties: Duties, via: 'browser' | 'token'): Actor {
  const groups = person.closedAt === null ? person.groups : [];
  const held = (['operator', 'reviewer'] as const).filter((duty) => duties[duty].some((one) => groups.includes(one)));
  return { subject: person.subject, via, groups, duties: new Set(held) };
}

/** The operator of this machine, by the name they gave. */
export function operatorNamed(by: string): Actor {
  return { subject: by, via: 'socket', groups: [], duties: new Set(['operator', 'reviewer']) };
}

/** @param owner - `group:<name>`, as a service's policy has it */
export function owns(actor: Pick<Actor, 'groups'>, owner: string): boolean {
  return actor.groups.some((group) => `group:${group}` === owner);
}
