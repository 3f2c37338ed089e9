import type { PoolClient } from 'pg';
import type { Clock } from '../clock.js';
import { type Actor, owns } from '../identity/actor.js';
import type { Log } from '../log.js';
import type { Emergency } from './emergency.js';
import type { Grants } from './grants.js';
import type { PolicySource } from './policy.js';
import type { RequestView } from './request.js';
import type { Doing, Transactor } from './transact.js';

/** Something that happened to a request, for whoever has to be told. */
export interface AccessEvent {
  /** As the audit log names it: `request.create`. */
  readonly act: string;
  readonly request: RequestView;
  readonly by: string;
  readonly reason: string;
}

export interface RequestsParts {
  readonly transactor: Transactor;
  readonly policies: PolicySource;
  readonly grants: Grants;
  /** Writes of an emergency in the transaction that begins it; what it throws, undoes that. */
  readonly begun: (client: PoolClient, emergency: Emergency) => Promise<void>;
  /** Called after the fact; what it throws is logged. */
  readonly told: (event: AccessEvent) => void | Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** An act on one request, for the audit log. */
export function doingOf(
  { subject, via }: Pick<Actor, 'subject' | 'via'>,
  verb: string,
  id: string,
  reason: string | null,
): Doing {
  return { actor: subject, via, act: `request.${verb}`, target: `request:${id}`, reason };
}

/** Who answers for a service now; for one that is gone, who did when access was asked for. */
export function ownerOf(
  { policies }: Pick<RequestsParts, 'policies'>,
  request: Pick<RequestView, 'service' | 'owner'>,
): string {
  return policies.get(request.service)?.owner ?? request.owner;
}

/** The services whose policies in force name a group of the actor's. */
export function servicesOf({ policies }: Pick<RequestsParts, 'policies'>, actor: Actor): readonly string[] {
  return [...policies.all()].filter(({ owner }) => owns(actor, owner)).map(({ name }) => name);
}
