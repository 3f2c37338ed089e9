/** Whether a record's results belong to its statements. */
import type { RecordedLine } from '../support/gateway.js';

/** What a text alone may end with; of those that are missing anything may be true. */
const TAGS: Readonly<Record<string, RegExp>> = {
  'select 1': /^SELECT 1$/,
  'select id from orders order by id': /^(?:SELECT 1000|suspended)$/,
  'select 1; select 2': /^SELECT 1$/,
  begin: /^BEGIN$/,
  commit: /^(?:COMMIT|ROLLBACK)$/,
  rollback: /^ROLLBACK$/,
  'copy orders to stdout': /^COPY 1000$/,
  'copy scratch from stdin': /^COPY \d+$/,
  'prepare s as select 1': /^PREPARE$/,
  'deallocate all': /^DEALLOCATE ALL$/,
  'declare p cursor for select 1': /^DECLARE CURSOR$/,
  'fetch all from p': /^FETCH \d+$/,
  'update orders set amount = 0': /^UPDATE 1000$/,
  'listen x': /^LISTEN$/,
  'delete from scratch': /^DELETE \d+$/,
  "insert into scratch values (1, 'x')": /^INSERT 0 1$/,
};
/** What never works, whoever tries. */
const FAILING: Readonly<Record<string, RegExp>> = { 'select 1/0': /^22012$/, selekt: /^42601$/ };
/** What a statement may end with whatever it is: the transaction had failed, it was not run, or the session ended. */
const ANYTHING = /^(?:25P02|skipped|interrupted)$/;

/** The events of each session. */
export function sessionsOf(events: readonly RecordedLine[]): readonly (readonly RecordedLine[])[] {
  const sessions = new Map<string, RecordedLine[]>();
  for (const event of events) {
    const known = sessions.get(event.session);
    if (known) known.push(event);
    else sessions.set(event.session, [event]);
  }
  return [...sessions.values()];
}

/** Whether a session is one of the role `reader`. */
export function isReaders(events: readonly RecordedLine[]): boolean {
  return events.some(({ kind, facts }) => kind === 'open' && facts.role === 'reader');
}

/** What is wrong between the actions and the results of one session. */
export function unpaired(events: readonly RecordedLine[]): readonly string[] {
  const ran = new Map(events.filter(isRun).map((event) => [event.seq, event]));
  const results = events.filter(({ kind }) => kind === 'result');
  const wrong = results.flatMap((result) => wrongWith(result, ran.get(Number(result.facts.of))) ?? []);
  const answered = new Set(results.map(({ facts }) => facts.of));
  const silent = [...ran.values()].filter(({ seq, facts }) => !answered.has(seq) && facts.verb !== 'empty');
  return [...wrong, ...silent.map((event) => `nothing came of ${shown(event)}`)];
}

/** A statement that was let through: one Execute, one Query. */
function isRun({ kind, facts }: RecordedLine): boolean {
  return kind === 'action' && facts.outcome === 'allow' && (facts.via === 'query' || facts.via === 'execute');
}

function wrongWith(result: RecordedLine, action: RecordedLine | undefined): string | null {
  if (action === undefined || action.seq >= result.seq) return `a result of nothing: ${shown(result)}`;
  const text = String(action.payload?.text);
  const status = String(result.facts.status);
  if (ANYTHING.test(status)) return null;
  const expected = status === '00000' ? TAGS[text]?.test(String(result.facts.tag)) : FAILING[text]?.test(status);
  const fails = text in FAILING;
  if (status === '00000' ? !fails && expected !== false : expected !== false) return null;
  return `${shown(action)} ended with ${shown(result)}`;
}

function shown({ facts, payload }: RecordedLine): string {
  return JSON.stringify({ facts, payload });
}
