import { type Decision, deny } from '../policy/decision.js';
import { asRefusal, ByName, missing, NAMES_RULE, TOO_MANY_NAMES, withdraw } from './by-name.js';
import type { Conversation } from './conversation.js';
import type { PostgresAction } from './decide.js';
import { Decisions } from './decisions.js';
import type { Expectation, QueryExpectation, Refusal } from './expectations.js';
import type { Definition, Portal, Prepared } from './names.js';
import type { Outbox } from './outbox.js';
import { PLANNED, Planned } from './planned.js';
import { analyse } from './sql/analyse.js';
import { functionCall, unknown, unreadBind, unreadCall, unreadParse, unreadQuery } from './stand-ins.js';
import { recordSkipped } from './under-way.js';
import { FramingError } from './wire/framing.js';
import {
  type BindMessage,
  type ParseMessage,
  readBind,
  readExecute,
  readFunctionCall,
  readParse,
  readQuery,
  readTarget,
  type StatementText,
} from './wire/frontend.js';
import { FRONTEND, type FrontendHandler } from './wire/frontend-framer.js';
import { parse, query } from './wire/frontend-writer.js';
import { LongMessageReader } from './wire/long-message.js';

/** How much may come to be recorded when what is held leaves, UTF-16 code units. */
const MOST_PLANNED = 256 * 1024;
/** What the server is sent in place of a refused message: nothing it could run. It answers with an error, which becomes ours. */
const UNPARSABLE = 'refused by the gateway';
const REFUSED_QUERY = query(UNPARSABLE);
const REFUSED_PARSE = parse('daypass_refused', UNPARSABLE);
/** In place of a Parse without a name: as the server does at any such that fails, it forgets what was prepared without one before. */
const REFUSED_UNNAMED = parse('', UNPARSABLE);

/**
 * What the client sends: every statement is decided when it is parsed and decided again, and recorded, when it is run.
 * A refused message is replaced, not dropped: PostgreSQL itself then aborts the transaction, skips to the Sync and reports
 * the true status (DETAILS.md, Postgres relay).
 */
export class ClientSide implements FrontendHandler {
  readonly #talk: Conversation;
  readonly #named: ByName;
  readonly #decisions: Decisions;
  readonly #outbox: Outbox;
  readonly #leave: () => void;
  readonly #planned = new Planned();
  /** A message since the last Sync was refused. */
  #refused = false;
  #long: LongMessageReader | null = null;

  /** @param leave - the client said goodbye */
  constructor(talk: Conversation, outbox: Outbox, leave: () => void) {
    this.#talk = talk;
    this.#named = new ByName(talk);
    this.#decisions = new Decisions(talk);
    this.#outbox = outbox;
    this.#leave = leave;
    outbox.beforeRelease = () => {
      this.#planned.record(talk.passage);
      talk.leaves();
    };
  }

  /** @throws FramingError on a message that is not legal here */
  message(type: number, frame: Buffer): void {
    if (this.#talk.copyIn && !COPY_IN.has(type)) throw new FramingError('only COPY data is legal while a COPY runs');
    switch (type) {
      case FRONTEND.query:
        return this.#query(frame);
      case FRONTEND.parse:
        return this.#parse(frame);
      case FRONTEND.bind:
        return this.#bind(frame);
      case FRONTEND.execute:
        return this.#execute(frame);
      case FRONTEND.describe:
        readTarget(frame, this.#mayDoAnything);
        return this.#forward(frame, DESCRIBE);
      case FRONTEND.close: {
        const { kind, name } = readTarget(frame, this.#mayDoAnything);
        (kind === 'S' ? this.#talk.statements : this.#talk.portals).closing(name);
        return this.#forward(frame, { kind: 'close', target: kind, name });
      }
      case FRONTEND.sync:
        if (!this.#talk.copyIn) this.#talk.expect(SYNC);
        this.#endSegment();
        this.#outbox.hold(frame);
        return this.#outbox.release();
      case FRONTEND.flush:
        this.#outbox.hold(frame);
        return this.#outbox.release();
      case FRONTEND.functionCall:
        return this.#functionCall(frame);
      case FRONTEND.copyDone:
      case FRONTEND.copyFail:
        this.#talk.endsCopy();
        this.#outbox.hold(frame);
        return this.#outbox.release();
      case FRONTEND.terminate:
        this.#outbox.hold(frame);
        return this.#outbox.release(this.#leave);
      default:
        throw new FramingError(`message type 0x${type.toString(16)} is not legal here`);
    }
  }

  copyData(piece: Buffer): void {
    this.#talk.copies(piece);
    this.#outbox.hold(piece);
    this.#outbox.release();
  }

  /** Only who is judged by nothing may send what is not held to be judged. */
  get takesLong(): boolean {
    return this.#mayDoAnything;
  }

  /** The server acts on a message once it is whole: its last piece waits for the record. */
  longMessage(type: number, piece: Buffer, left: number): void {
    if (this.#talk.copyIn) throw new FramingError('only COPY data is legal while a COPY runs');
    this.#long ??= new LongMessageReader();
    this.#long.add(piece);
    if (left > 0) {
      this.#outbox.hold(piece);
      return this.#outbox.release();
    }
    const message = this.#long.end();
    this.#long = null;
    if (!this.#mayDoAnything) throw new FramingError('a message this long is not for this role', true);
    if (type === FRONTEND.query) this.#queryOf(unreadQuery(message), piece);
    else if (type === FRONTEND.parse) {
      const { target, statement } = unreadParse(message);
      this.#parseOf(target, statement, piece);
    } else if (type === FRONTEND.bind) this.#bindOf(unreadBind(message), piece);
    else this.#callOf(unreadCall(message), NOTHING, piece);
  }

  /**
   * Judges again what was allowed and has not ended: what the server is running (a COPY that takes data among it), what
   * waits behind it, and what is held for a Sync.
   * @returns the first refusal
   */
  judgeAgain(): Decision | null {
    const { catalog } = this.#decisions;
    const sent = this.#talk.expectations.unanswered().flatMap((one) => ('action' in one ? [one.action] : []));
    for (const action of [...sent, ...this.#planned.actions]) {
      const decision = this.#decisions.again({ ...action, catalog });
      if (decision.outcome !== 'allow') return decision;
    }
    return null;
  }

  #endSegment(): void {
    this.#refused = false;
    this.#talk.statements.sync();
    this.#talk.portals.sync();
  }

  #query(frame: Buffer): void {
    this.#queryOf(this.#prepared(readQuery(frame)), frame);
  }

  #queryOf(statement: Prepared, frame: Buffer): void {
    this.#endSegment();
    this.#talk.portals.queried();
    const defined = this.#named.define([statement]);
    const action = this.#action(statement, [], 'query');
    const refusal = defined === null ? asRefusal(TOO_MANY_NAMES) : this.#named.missing(statement);
    const decided = refusal?.decision ?? this.#decisions.of(action);
    const { decision, seq } = this.#talk.passage.propose(action, decided);
    if (decision.outcome === 'allow') this.#forward(frame, asked(seq, action, defined ?? NOTHING));
    else {
      withdraw(defined);
      this.#refuse(REFUSED_QUERY, refusal ?? asRefusal(decision));
    }
    this.#outbox.release();
  }

  #parse(frame: Buffer): void {
    const message = readParse(frame, this.#mayDoAnything);
    this.#parseOf(message, this.#prepared(message), frame);
  }

  #parseOf(message: Pick<ParseMessage, 'name' | 'madeTypes'>, statement: Prepared, frame: Buffer): void {
    const { madeTypes } = message;
    const action = { ...this.#action(statement, [], 'parse'), ...(madeTypes.length > 0 ? { madeTypes } : {}) };
    const { statements } = this.#talk;
    const tracked = statements.hasRoom(message.name);
    const decision = tracked || this.#mayDoAnything ? this.#decisions.make(action) : TOO_MANY_NAMES;
    const instead = message.name === '' ? REFUSED_UNNAMED : REFUSED_PARSE;
    if (decision.outcome !== 'allow') return this.#deny(action, asRefusal(decision), instead);
    if (tracked && !statements.propose(message.name, statement))
      return this.#deny(action, asRefusal(TOO_MANY_NAMES), instead);
    this.#planned.add(action);
    this.#forward(frame, { kind: 'parse', name: message.name, statement });
  }

  #bind(frame: Buffer): void {
    this.#bindOf(readBind(frame, this.#mayDoAnything), frame);
  }

  #bindOf({ portal: name, statement, parameters }: BindMessage, frame: Buffer): void {
    const statements = this.#named.meanings(this.#talk.statements, statement);
    const tracked = this.#talk.portals.hasRoom(name);
    const bound = statements[statements.length - 1] ?? unknown('statement', statement);
    const action = this.#action(bound, statements, 'bind', parameters);
    if (statements.length === 0 && !this.#mayDoAnything) return this.#deny(action, missing('statement', statement));
    if (!tracked && !this.#mayDoAnything) return this.#deny(action, asRefusal(TOO_MANY_NAMES));
    // Binding plans, and planning evaluates: an old statement is decided anew here too (THREATS.md B11).
    const decision = this.#named.missing(bound) === null ? this.#decisions.of(action) : PLANNED;
    if (decision.outcome !== 'allow') return this.#deny(action, asRefusal(decision));
    const portal: Portal = { statements, parameters };
    if (tracked && !this.#talk.portals.propose(name, portal)) return this.#deny(action, asRefusal(TOO_MANY_NAMES));
    this.#planned.supersededBy(bound, null);
    this.#planned.add(action);
    this.#forward(frame, { kind: 'bind', name, statement, portal });
  }

  /** Every Execute is decided anew by the policy in force, and recorded: an old prepared statement is no way around a change. */
  #execute(frame: Buffer): void {
    const name = readExecute(frame, this.#mayDoAnything);
    const portals = this.#named.meanings(this.#talk.portals, name);
    const portal = portals[portals.length - 1] ?? UNKNOWN_PORTAL;
    // No function opens a cursor without a name: of that one we know for everybody.
    if (portal === UNKNOWN_PORTAL && (name === '' || !this.#mayDoAnything))
      return this.#deny(this.#action(unknown('cursor', name), [], 'execute'), missing('cursor', name));
    const statement = portal.statements[portal.statements.length - 1] ?? unknown('cursor', name);
    const all = portals.length === 1 ? portal.statements : portals.flatMap((one) => one.statements);
    const defined = this.#named.define(all.length === 0 ? [statement] : all);
    const absent = defined === null ? asRefusal(TOO_MANY_NAMES) : this.#named.missing(statement, all);
    const action = this.#action(statement, all, 'execute', portal.parameters);
    const { decision, seq } = this.#talk.passage.propose(action, absent?.decision ?? this.#decisions.of(action));
    if (decision.outcome !== 'allow') {
      withdraw(defined);
      return this.#refuse(REFUSED_PARSE, absent ?? asRefusal(decision));
    }
    this.#planned.supersededBy(statement, portal.parameters);
    this.#forward(frame, { kind: 'execute', seq, action, portal: name, defined: defined ?? NOTHING });
  }

  /** FunctionCall runs a function by its number, past the parser: only for who may do anything (PROTOCOLS.md, 15). */
  #functionCall(frame: Buffer): void {
    const { oid, parameters } = readFunctionCall(frame);
    this.#callOf(functionCall(oid), parameters, frame);
  }

  #callOf(statement: Prepared, parameters: Portal['parameters'], frame: Buffer): void {
    const action = this.#action(statement, [], 'query', parameters);
    const { decision, seq } = this.#talk.passage.propose(
      action,
      this.#mayDoAnything ? this.#decisions.make(action) : NO_FUNCTION_CALL,
    );
    if (decision.outcome === 'allow') this.#forward(frame, { ...asked(seq, action, NOTHING), call: true });
    else this.#refuse(REFUSED_QUERY, asRefusal(decision));
    this.#outbox.release();
  }

  #forward(frame: Buffer, expectation: Expectation): void {
    if (!this.#talk.expect(expectation)) recordSkipped(this.#talk, expectation);
    this.#outbox.hold(frame);
    if (this.#planned.length > MOST_PLANNED) this.#outbox.release();
  }

  /**
   * Refuses a message: it stands in the record and in the log. But behind a refusal the server skips to the Sync, and a name
   * that was refused with it is missing for that reason alone: what runs it says nothing new.
   */
  #deny(action: PostgresAction, refusal: Refusal, instead = REFUSED_PARSE): void {
    if (!this.#refused || refusal.decision.rule !== NAMES_RULE) this.#talk.passage.propose(action, refusal.decision);
    this.#refuse(instead, refusal);
  }

  /** @param instead - what the server is sent */
  #refuse(instead: Buffer, refusal: Refusal): void {
    const simple = instead === REFUSED_QUERY;
    this.#refused ||= !simple;
    this.#forward(instead, { kind: 'refused', simple, refusal });
  }

  #prepared({ text, validUtf8 }: StatementText): Prepared {
    if (!validUtf8)
      return { text, analysis: { ok: false, reason: 'unparsable', message: 'the statement is not valid UTF-8' } };
    return { text, analysis: analyse(text) };
  }

  /** Of names the gateway does not know (a function opened the cursor), the server then says what becomes of them. */
  get #mayDoAnything(): boolean {
    return this.#talk.role.any;
  }

  /** The action of a statement, with everything that it runs by name. */
  #action(
    statement: Prepared,
    candidates: readonly Prepared[],
    via: PostgresAction['via'],
    parameters: readonly (string | null)[] = NOTHING,
  ): PostgresAction {
    const { text, analysis, whole } = statement;
    return {
      ...(whole && { whole }),
      text,
      analysis,
      contained: this.#named.contained(statement, candidates),
      via,
      parameters,
      catalog: this.#decisions.catalog,
    };
  }
}

function asked(seq: number, action: PostgresAction, defined: readonly Definition[]): QueryExpectation {
  return { kind: 'query', seq, action, done: 0, failed: false, defined };
}

/** Those without parts of their own are shared: a flood of them costs a place in the queue each. */
const SYNC: Expectation = { kind: 'sync' };
const DESCRIBE: Expectation = { kind: 'describe' };

const NOTHING: readonly never[] = [];
const COPY_IN: ReadonlySet<number> = new Set([
  FRONTEND.copyDone,
  FRONTEND.copyFail,
  FRONTEND.flush,
  FRONTEND.sync,
  FRONTEND.terminate,
]);
const NO_FUNCTION_CALL = deny(
  'unknown_effect',
  'FunctionCall messages',
  'calling functions by number is not offered',
  'use SELECT',
);

const UNKNOWN_PORTAL: Portal = { statements: [], parameters: [] };
