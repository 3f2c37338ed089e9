/** Conversations that hardly a client would lead: pipelines of anything, and what they are answered with. */
import type { Test } from 'tap';
import { enter, shown, type Way } from '../postgres/clients/twins.js';
import {
  bind,
  close,
  cstring,
  describe,
  execute,
  flush,
  front,
  parse,
  query,
  sync,
  type WireClient,
  type WireMessage,
} from '../support/wire.js';
import { type Case, cases, pieces, Random } from './random.js';

const SECONDS = 5;
/** Conversations that are led side by side. */
export const AT_ONCE = 8;

/** What is said in them. */
export interface Vocabulary {
  /** Statements without and with one parameter, and texts of several. */
  readonly texts: readonly string[];
  readonly withParameter: readonly string[];
  readonly several: readonly string[];
  /** COPYs that take data into one column, and texts with some among others. */
  readonly copies: readonly string[];
  readonly copiesAmong: readonly string[];
}

/** Words for all that need no more than a table `things`. */
export const USUAL = {
  texts: [
    'select 1',
    '',
    'select id, name from things order by id limit 5',
    'select n, 1 / (3 - n) from generate_series(1, 5) n',
    'select 1/0',
    'select n, repeat(n::text, 30) from generate_series(1, 400) n',
    'begin',
    'begin',
    'commit',
    'rollback',
    'savepoint s',
    'rollback to s',
    'prepare q as select 3',
    'deallocate q',
    'deallocate all',
    'declare k cursor for select id from things order by id',
    'declare k cursor with hold for select id from things order by id',
    'close k',
    'close all',
    "set application_name = 'x'",
    "set local application_name = 'y'",
    'set constraints all deferred',
    'copy (select n from generate_series(1, 3) n) to stdout',
    'copy (select 1 / (3 - n) from generate_series(1, 5) n) to stdout',
    'explain (costs off) select 1',
    'show application_name',
    'discard plans',
  ],
  withParameter: ['select $1::int', 'select name from things where id < $1::int order by id', 'select 1 / $1::int'],
  several: [
    'select 1; select 2',
    'select 1; select 1/0; select 3',
    'begin; select 1; commit',
    '; ;',
    'select 1; begin; select 1/0',
    'prepare r as select 1; execute r; deallocate r',
    'copy (select 1) to stdout; select 2',
    'commit; select 1',
  ],
};

/** What ends a step: no other has so many in a row, and they are answered whatever state the transaction is in. */
const MARK = 6;
const mark = Buffer.concat([...Array.from({ length: MARK }, () => close('P', 'mark')), sync()]);

const GIVEN = ['a', 'b', 'k', 'q'];
const NAMES = ['', '', '', ...GIVEN];
const VALUES = ['1', '3', '0', 'x'];

/** What is sent, and when its answer is over: with the mark, when the server is ready, or when it asks for data or will not. */
export interface Step {
  readonly sent: Buffer;
  readonly until: 'mark' | 'ready' | 'asks';
}

/** Draws what is sent: the same numbers draw the same messages, whatever their words are. */
export class Pipelines {
  readonly #random: Random;
  readonly #words: Vocabulary;

  constructor(random: Random, words: Vocabulary) {
    this.#random = random;
    this.#words = words;
  }

  steps(): Step[] {
    const random = this.#random;
    return Array.from({ length: 1 + random.below(8) }, () => {
      const step: Step = { sent: Buffer.concat([...this.#pipeline(), sync(), mark]), until: 'mark' };
      return random.chance(0.25)
        ? [...this.#copying(), { sent: Buffer.concat([sync(), mark]), until: 'mark' } as const, step]
        : [step];
    }).flat();
  }

  #pipeline(): Buffer[] {
    const random = this.#random;
    const many = random.chance(0.02) ? 300 : 1 + random.below(14);
    return Array.from({ length: many }, () =>
      random.chance(0.05) ? Buffer.concat(this.#blindCopy()) : this.#anything(),
    );
  }

  #anything(): Buffer {
    const random = this.#random;
    const chance = random.next();
    if (chance < 0.6) return this.#extended();
    if (chance < 0.75) return sync();
    if (chance < 0.8) return flush();
    if (chance < 0.82) return Buffer.concat([front('d', Buffer.from('nobody\n')), front('c')]);
    return query(random.pick(random.chance(0.3) ? this.#words.several : this.#words.texts));
  }

  /** Never the portal without a name alone: behind a Query that failed in a transaction the server itself crashes at it (18.4). */
  #extended(): Buffer {
    const random = this.#random;
    const words = this.#words;
    const [statement, portal] = [random.pick(NAMES), random.pick(NAMES)];
    const has = random.chance(0.3);
    const text = random.pick(has ? words.withParameter : words.texts);
    const values = has ? [random.pick(VALUES)] : [];
    switch (random.below(9)) {
      case 0:
        return parse(statement, random.chance(0.05) ? random.pick(words.several) : text);
      case 1:
        return bind(portal, statement, ...values);
      case 2:
        return random.chance(0.5) ? describe('S', random.pick(NAMES)) : describe('P', random.pick(GIVEN));
      case 3:
        return execute(random.pick(GIVEN), random.pick([0, 0, 1, 2, 1_000]));
      case 4:
        return close(random.chance(0.5) ? 'S' : 'P', random.pick(NAMES));
      default:
        return this.#run(statement, portal, text, values);
    }
  }

  #run(statement: string, portal: string, text: string, values: readonly string[]): Buffer {
    const random = this.#random;
    const parts = [parse(statement, text), bind(portal, statement, ...values)];
    if (random.chance(0.1)) parts.splice(1, 0, describe('S', statement));
    if (random.chance(0.5)) parts.push(describe('P', portal));
    if (random.chance(0.1)) parts.push(flush());
    parts.push(execute(portal, random.pick([0, 0, 0, 1, 2])));
    if (random.chance(0.2)) parts.push(execute(portal, random.pick([0, 1, 2])));
    return Buffer.concat(parts);
  }

  #data(): Buffer[] {
    const random = this.#random;
    return Array.from({ length: random.below(4) }, () =>
      front('d', Buffer.from(random.chance(0.1) ? 'x\n' : random.chance(0.1) ? '4' : `${random.below(9)}\n`)),
    );
  }

  #end(): Buffer {
    return this.#random.chance(0.8) ? front('c') : front('f', cstring('no more'));
  }

  /** A COPY with all of its data, which nobody has asked for yet. */
  #blindCopy(): Buffer[] {
    const random = this.#random;
    const text = random.pick(this.#words.copies);
    const ask = random.chance(0.5)
      ? [query(text)]
      : [parse('', text), bind('', ''), execute(''), ...(random.chance(0.3) ? [sync()] : [])];
    return [...ask, ...this.#data(), this.#end(), ...(random.chance(0.3) ? [sync()] : [])];
  }

  #copying(): Step[] {
    const random = this.#random;
    const words = this.#words;
    const isSimple = random.chance(0.5);
    const text = random.pick(isSimple && random.chance(0.3) ? words.copiesAmong : words.copies);
    const before = random.chance(0.3) ? [this.#extended()] : [];
    const ask = isSimple
      ? [query(text)]
      : [...before, parse('', text), bind('', ''), ...(random.chance(0.3) ? [describe('P', '')] : []), execute('')];
    const others = text.includes('; copy') ? [...this.#data(), this.#end()] : [];
    const rest = [...this.#data(), this.#end(), ...others, ...(isSimple ? [] : [sync()])];
    if (random.chance(0.6)) {
      const more = random.chance(0.6) ? this.#pipeline() : [];
      return [{ sent: Buffer.concat([...ask, ...rest, ...more, sync(), mark]), until: 'mark' }];
    }
    if (!isSimple) ask.push(random.chance(0.5) ? sync() : flush());
    return [
      { sent: Buffer.concat(ask), until: 'asks' },
      { sent: Buffer.concat(rest), until: 'ready' },
    ];
  }
}

const CLOSED: WireMessage = { type: 'closed', body: Buffer.alloc(0) };

async function answers(client: WireClient, until: Step['until']): Promise<WireMessage[]> {
  const out: WireMessage[] = [];
  let inRow = 0;
  for (;;) {
    const message = await client.message().catch(() => null);
    if (message === null) return [...out, CLOSED];
    out.push(message);
    const { type } = message;
    if (until === 'mark' && type === 'Z' && inRow >= MARK) return out;
    inRow = type === '3' ? inRow + 1 : 0;
    if (until === 'ready' && type === 'Z') return out;
    if (until === 'asks' && /[GEZ]/.test(type)) return out;
  }
}

/** Leads a conversation. @param begin - what is run before it @returns what it was answered, step by step, as it can be compared */
export async function converse(
  t: Test,
  way: Way,
  script: readonly Step[],
  seed: number,
  begin: string,
): Promise<string[][]> {
  const { client } = await enter(t, way);
  client.send(query(begin));
  await client.until();
  const random = new Random(seed);
  const got: string[][] = [];
  for (const { sent, until } of script) {
    for (const piece of pieces(random, sent)) {
      client.send(piece);
      if (random.chance(0.05)) await new Promise((resolve) => setImmediate(resolve));
    }
    const limit = setTimeout(() => client.socket.destroy(), 10_000);
    got.push((await answers(client, until)).map((message) => shown(message).replace(/pg_temp_\d+/g, 'pg_temp')));
    clearTimeout(limit);
  }
  client.socket.end(front('X'));
  got.push((await client.rest()).map(shown));
  return got;
}

/** Messages as they can be read. */
function readable(script: readonly Step[]): string[] {
  return script.map(({ sent, until }) => `${sent.toString('latin1').replace(/[^ -~]+/g, '.')} until ${until}`);
}

/** One conversation on both ways. */
interface Compared {
  readonly script: readonly Step[];
  readonly expected: readonly (readonly string[])[];
  readonly got: readonly (readonly string[])[];
}

/** Leads conversations until the time is up. @param lead - on both ways, the lane-th of those that are led side by side */
export async function compare(t: Test, lead: (one: Case, lane: number) => Promise<Compared>): Promise<void> {
  let count = 0;
  let differ = 0;
  for await (const some of cases(SECONDS, AT_ONCE)) {
    await Promise.all(
      some.map(async (one, lane) => {
        const { script, expected, got } = await lead(one, lane);
        const at = expected.findIndex((said, i) => said.join('\n') !== got[i]?.join('\n'));
        // A server that ends a session may be reset before its last words are read.
        if (at === -1 || expected[at]?.includes(shown(CLOSED))) return;
        differ += 1;
        if (differ < 8) t.fail(`${one.name}, step ${at}`, difference(script.slice(0, at + 1), expected[at], got[at]));
      }),
    );
    count += some.length;
  }
  t.equal(differ, 0, `of ${count} conversations`);
}

function difference(script: readonly Step[], expected: readonly string[] = [], got: readonly string[] = []) {
  const from = Math.max(0, expected.findIndex((said, i) => said !== got[i]) - 3);
  return { script: readable(script), expected: expected.slice(from, from + 8), got: got.slice(from, from + 8) };
}
