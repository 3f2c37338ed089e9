import type { Socket } from 'node:net';
import { DaypassError } from '../errors.js';
import { endSurely } from '../session/connection.js';
import { Replies } from './replies.js';
import type { PostgresTarget } from './role.js';
import { logIn } from './upstream.js';
import { unacceptable } from './upstream-login.js';
import { readFields, readOnlyColumn } from './wire/backend.js';
import { query, terminate } from './wire/frontend-writer.js';

/** How long an upstream may take to let the gateway ask, and how long for its answers, all together, milliseconds. */
const LOGIN_LIMIT = 5_000;
const ANSWERS_LIMIT = 10_000;
/** How long the server itself works on one of them, milliseconds. */
const STATEMENT_LIMIT = 5_000;
/** What all answers together may be: room for the catalog of a hundred thousand tables, bytes and rows. */
const MOST_BYTES = 128 * 1024 * 1024;
const MOST_ROWS = 1_000_000;

/** Asks one query (without a semicolon), and has its rows, with the columns as JSON has them. */
export type Ask = (text: string) => Promise<unknown[]>;

/**
 * Asks an upstream something of the gateway's own, on a connection of its own that is closed again: as the role's account,
 * which is all the gateway has. It logs in as a session does, and believes the server no more than a session does: what it
 * answers is bounded in time and size (THREATS.md C23).
 * @throws whatever `questions` throws, or why the upstream could not be reached or did not answer
 */
export async function askUpstream<T>(
  target: PostgresTarget,
  name: string,
  questions: (ask: Ask) => Promise<T>,
): Promise<T> {
  const { socket } = await logIn(target, settings(name), LOGIN_LIMIT);
  const timer = setTimeout(() => socket.destroy(), ANSWERS_LIMIT);
  const conversation = new Questions(socket);
  try {
    await conversation.begin();
    const answer = await questions((text) => conversation.rows(text));
    socket.write(terminate());
    endSurely(socket);
    return answer;
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
}

function settings(name: string): Map<string, string> {
  return new Map([
    ['application_name', `daypass-${name}`],
    ['client_encoding', 'UTF8'],
    ['statement_timeout', String(STATEMENT_LIMIT)],
  ]);
}

/** One question after the other, in one moment of the database. */
class Questions {
  readonly #socket: Socket;
  readonly #replies: Replies;
  #rows = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#replies = new Replies(socket, MOST_BYTES);
    socket.resume();
  }

  async begin(): Promise<void> {
    await this.#ask('begin transaction isolation level repeatable read, read only');
  }

  /** Each row comes as one JSON text: there is one column to read, whatever is asked. */
  async rows(text: string): Promise<unknown[]> {
    const rows = await this.#ask(`select pg_catalog.row_to_json(asked) from (${text}) as asked`);
    return rows.map((row): unknown => JSON.parse(row));
  }

  async #ask(text: string): Promise<string[]> {
    this.#socket.write(query(text));
    const rows: string[] = [];
    for (;;) {
      const message = await this.#replies.message();
      const type = String.fromCharCode(message[0]!);
      if (type === 'D') rows.push(this.#row(message));
      else if (type === 'E') throw refused(message);
      else if (type === 'Z') return rows;
      else if (!PASSED.includes(type)) throw unacceptable(`answers with a message of type ${JSON.stringify(type)}`);
    }
  }

  #row(message: Buffer): string {
    this.#rows += 1;
    const row = this.#rows > MOST_ROWS ? null : readOnlyColumn(message);
    if (row === null) throw unacceptable('answers with more rows than it may, or with something else');
    return row;
  }
}

/** RowDescription, CommandComplete, NoticeResponse and ParameterStatus tell nothing that is wanted. */
const PASSED = 'TCNS';

function refused(message: Buffer): DaypassError {
  const fields = readFields(message);
  const why = `${fields.get('C') ?? 'no SQLSTATE'}: ${fields.get('M') ?? ''}`;
  return new DaypassError('upstream_unavailable', `the database does not answer a question of the gateway: ${why}`);
}
