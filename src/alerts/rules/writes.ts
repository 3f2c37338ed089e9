import type { RecordedEvent } from '../../recording/event.js';
import { certain, type EventRule, MOST, Remembered } from './rule.js';

/** Verbs of events that change something, in the words of the protocols. What a WebSocket message does nobody can tell. */
const WRITES: ReadonlySet<string> = new Set([
  ...['insert', 'update', 'delete', 'merge', 'copy-in', 'ddl'],
  ...['POST', 'PUT', 'PATCH', 'DELETE'],
]);

const isWrite = (verb: string) => WRITES.has(verb);
const isDefinition = (verb: string) => verb === 'ddl';

/** A statement may do several things: `update,select`. */
function does({ kind, facts }: RecordedEvent, isMeant: (verb: string) => boolean): boolean {
  if (kind !== 'action' || facts.outcome !== 'allow') return false;
  const { verb = '' } = facts;
  return verb.includes(',') ? verb.split(',').some(isMeant) : isMeant(verb);
}

/** The first change that somebody makes at a service; the ledger knows of those before. */
export function firstWrite(): EventRule {
  const known = new Remembered<true>(MOST);
  return (watched, event) => {
    if (!does(event, isWrite)) return null;
    const { principal, service, grant, session } = watched;
    const key = `${principal} ${service}`;
    if (known.get(key)) return null;
    known.set(key, true);
    const { at, facts } = event;
    const detail = { verb: facts.verb ?? '', on: facts.on ?? [] };
    const subject = `person:${principal} ${service}`;
    const alert = { kind: 'first_write', subject, principal, service, grant, session, detail, at } as const;
    const look: ReturnType<typeof certain>['look'] = async (client) => {
      const text = 'insert into first_writes (principal, service, at) values ($1, $2, $3) on conflict do nothing';
      const { rowCount } = await client.query(text, [principal, service, new Date(at)]);
      return rowCount === 1 ? alert : null;
    };
    return { key: `first_write ${key}`, look };
  };
}

/** The shape of a database is changed. */
export const definition: EventRule = (watched, event) => {
  if (!does(event, isDefinition)) return null;
  const { principal, service, grant, session } = watched;
  const { at, facts } = event;
  const about = { principal, service, grant, session, detail: { on: facts.on ?? [] }, at };
  return certain({ kind: 'ddl', subject: `person:${principal} ${service}`, ...about });
};
