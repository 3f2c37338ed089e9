import { allow, type Decision, deny } from '../policy/decision.js';
import { advise } from './advice.js';
import {
  asRefusal,
  ByName,
  missing,
  NAMES_RULE,
  NO_STATEMENT,
  type Refusal,
  TOO_MANY_NAMES,
  unknown,
  withdraw,
} from './by-name.js';
import type { Catalog } from './catalog/catalog.js';
import { lacks } from './catalog/lacks.js';
import type { Conversation } from './conversation.js';
import type { PostgresAction } from './decide.js';
import type { Expectation, QueryExpectation } from './expectations.js';
import type { Definition, Portal, Prepared } from './names.js';
import type { Outbox } from './outbox.js';
import { postgresRole } from './role.js';
import { analyse } from './sql/analyse.js';
import type { Analysis } from './sql/analysis.js';
import { FRONTEND, FramingError, type FrontendHandler } from './wire/framer.js';
import {
  type BindMessage,
  type ParseMessage,
  parse,
  query,
  readBind,
  readExecute,
  readFunctionCall,
  readParse,
  readQuery,
  readTarget,
  type StatementText,
} from './wire/frontend.js';
import { type LongMessage, LongMessageReader, nameIn } from './wire/long-message.js';

/** What the server is sent in place of a refused message: nothing it could run. It answers with an error, which becomes ours. */
const UNPARSABLE = 'refused by the gateway';
const REFUSED_QUERY = query(UNPARSABLE);
const REFUSED_PARSE = parse('daypass_refused', UNPARSABLE);
/** How much of a COPY's data the record keeps, bytes. */
const COPY_SAMPLE = 8 * 1024;

/**
 * What the client sends: every statement is decided when it is parsed and decided again, and recorded, when it is run.
 * A refused message is replaced, not dropped: PostgreSQL itself then aborts the transaction, skips to the Sync and reports
 * the true status (DETAILS.md, Postgres relay).
 */
export class ClientSide implements FrontendHandler {
  readonly #talk: Conversation;
  readonly #named: ByName;
  readonly #outbox: Outbox;
  readonly #leave: () => void;
  readonly #decided = new WeakMap<Analysis, Decided>();
  /**
   * What was parsed or bound since the last release and not run in it. The server plans it all the same, which evaluates
   * constants and may answer with what it found: it is recorded too, before it leaves (THREATS.md D24).
   */
  #unrun: PostgresAction[] = [];
  /** A message since the last Sync was refused. */
  #refused = false;
  #long: LongMessageReader | null = null;

  /** @param leave - the client said goodbye */
  constructor(talk: Conversation, outbox: Outbox, leave: () => void) {
    this.#talk = talk;
    this.#named = new ByName(talk);
    this.#outbox = outbox;
    this.#leave = leave;
    outbox.beforeRelease = () => {
      this.#recordUnrun();
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
        this.#talk.copyIn = false;
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
    const talk = this.#talk;
    if (talk.takesCopyData) {
      if (talk.copyBytes < COPY_SAMPLE) talk.copySample.push(piece.subarray(0, COPY_SAMPLE - talk.copyBytes));
      talk.copyBytes += piece.length;
    }
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
    if (type === FRONTEND.query) this.#queryOf(unread(message, 0), piece);
    else if (type === FRONTEND.parse) {
      const { name, end } = nameIn(message);
      this.#parseOf({ name, madeTypes: NOTHING }, unread(message, end), piece);
    } else if (type === FRONTEND.bind) {
      const portal = nameIn(message);
      const parameters = [`… (${message.length} bytes, sha256:${message.sha256})`];
      this.#bindOf({ portal: portal.name, statement: nameIn(message, portal.end).name, parameters }, piece);
    } else this.#callOf({ ...unread(message, 0), text: callText(message.head.readUInt32BE(0)) }, NOTHING, piece);
  }

  /**
   * Judges again what was allowed and has not ended: what the server is running (a COPY that takes data among it), what
   * waits behind it, and what is held for a Sync.
   * @returns the first refusal
   */
  judgeAgain(): Decision | null {
    const { expectations, passage } = this.#talk;
    const sent = expectations.unanswered().flatMap((one) => ('action' in one ? [one.action] : []));
    for (const action of [...sent, ...this.#unrun]) {
      const decision = passage.judge({ ...action, catalog: this.#catalog });
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
    const defined = this.#named.define([statement]);
    const action = this.#action(statement, [], 'query');
    const refusal = defined === null ? asRefusal(TOO_MANY_NAMES) : this.#named.missing(statement);
    const decided = refusal?.decision ?? this.#judgeOnce(statement, action);
    const { decision, seq } = this.#talk.passage.propose(action, decided);
    if (decision.outcome === 'allow') this.#forward(frame, asked(seq, action, defined ?? NOTHING));
    else {
      withdraw(defined);
      this.#refuse(true, refusal ?? asRefusal(decision));
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
    const tracked = this.#talk.statements.hasRoom(message.name);
    const decision = tracked || this.#mayDoAnything ? this.#judge(action) : TOO_MANY_NAMES;
    if (decision.outcome !== 'allow') return this.#deny(action, asRefusal(decision));
    if (tracked) this.#talk.statements.propose(message.name, statement);
    this.#unrun.push(action);
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
    const decision = this.#named.missing(bound) === null ? this.#judgeOnce(bound, action) : PLANNED;
    if (decision.outcome !== 'allow') return this.#deny(action, asRefusal(decision));
    const portal: Portal = { statements, parameters };
    if (tracked) this.#talk.portals.propose(name, portal);
    this.#isRun(bound, null);
    this.#unrun.push(action);
    this.#forward(frame, { kind: 'bind', name, statement, portal });
  }

  /** Every Execute is decided anew by the policy in force, and recorded: an old prepared statement is no way around a change. */
  #execute(frame: Buffer): void {
    const name = readExecute(frame, this.#mayDoAnything);
    const portals = this.#named.meanings(this.#talk.portals, name);
    const portal = portals[portals.length - 1] ?? UNKNOWN_PORTAL;
    if (portal === UNKNOWN_PORTAL && !this.#mayDoAnything)
      return this.#deny(this.#action(unknown('cursor', name), [], 'execute'), missing('cursor', name));
    const statement = portal.statements[portal.statements.length - 1] ?? unknown('cursor', name);
    const all = portals.length === 1 ? portal.statements : portals.flatMap((one) => one.statements);
    const defined = this.#named.define(all.length === 0 ? [statement] : all);
    const absent = defined === null ? asRefusal(TOO_MANY_NAMES) : this.#named.missing(statement, all);
    const action = this.#action(statement, all, 'execute', portal.parameters);
    const { decision, seq } = this.#talk.passage.propose(
      action,
      absent?.decision ?? this.#judgeOnce(statement, action),
    );
    if (decision.outcome !== 'allow') {
      withdraw(defined);
      return this.#refuse(false, absent ?? asRefusal(decision));
    }
    this.#isRun(statement, portal.parameters);
    this.#forward(frame, { kind: 'execute', seq, action, portal: name, defined: defined ?? NOTHING });
  }

  /** What stands for the statement in the record, with these parameters if they were bound, is about to be another event. */
  #isRun({ analysis, text }: Prepared, parameters: Portal['parameters'] | null): void {
    const isOther = (one: PostgresAction) =>
      one.analysis !== analysis || one.text !== text || (one.via === 'bind' && one.parameters !== parameters);
    // Nearly always there is just the one: no other list is made for it.
    if (this.#unrun.length === 1 && !isOther(this.#unrun[0]!)) this.#unrun.pop();
    else if (this.#unrun.length > 0) this.#unrun = this.#unrun.filter(isOther);
  }

  #recordUnrun(): void {
    const unrun = this.#unrun;
    if (unrun.length === 0) return;
    this.#unrun = [];
    for (const action of unrun) {
      const { decision } = this.#talk.passage.propose(action, PLANNED);
      // It is among the frames that are about to leave: nothing of them does.
      if (decision.outcome !== 'allow') throw new FramingError('what is to be prepared cannot be recorded');
    }
  }

  /** FunctionCall runs a function by its number, past the parser: only for who may do anything (PROTOCOLS.md, 15). */
  #functionCall(frame: Buffer): void {
    const { oid, parameters } = readFunctionCall(frame);
    this.#callOf({ text: callText(oid), analysis: NO_STATEMENT }, parameters, frame);
  }

  #callOf(statement: Prepared, parameters: Portal['parameters'], frame: Buffer): void {
    const action = this.#action(statement, [], 'query', parameters);
    const { decision, seq } = this.#talk.passage.propose(
      action,
      this.#mayDoAnything ? this.#judge(action) : NO_FUNCTION_CALL,
    );
    if (decision.outcome === 'allow') this.#forward(frame, { ...asked(seq, action, NOTHING), call: true });
    else this.#refuse(true, asRefusal(decision));
    this.#outbox.release();
  }

  /**
   * A statement that runs nothing by name is decided once for each version of the policy and of the catalog, however often
   * this session runs it: the decision depends on nothing but them and what the text does (THREATS.md B10).
   */
  #judgeOnce(statement: Prepared, action: PostgresAction): Decision {
    if (action.contained.length > 0) return this.#judge(action);
    const { role } = this.#talk.passage.session;
    const { catalog } = action;
    const known = this.#decided.get(statement.analysis);
    if (known !== undefined && known.role === role && known.catalog === catalog) return known.decision;
    const decision = this.#judge(action);
    this.#decided.set(statement.analysis, { role, catalog, decision });
    return decision;
  }

  #judge(action: PostgresAction): Decision {
    const { catalog } = action;
    const { searchPath } = postgresRole(this.#talk.passage.session.role);
    if (catalog && lacks(catalog, action.analysis, searchPath[0])) this.#talk.catalog.wanted();
    const { passage } = this.#talk;
    const decision = passage.judge(action);
    return decision.outcome === 'allow' ? decision : advise(decision, action, passage.session.policy);
  }

  #forward(frame: Buffer, expectation: Expectation): void {
    if (!this.#talk.expect(expectation)) this.#skipped(expectation);
    this.#outbox.hold(frame);
  }

  /**
   * Refuses a message: it stands in the record and in the log. But behind a refusal the server skips to the Sync, and a name
   * that was refused with it is missing for that reason alone: what runs it says nothing new.
   */
  #deny(action: PostgresAction, refusal: Refusal): void {
    if (!this.#refused || refusal.decision.rule !== NAMES_RULE) this.#talk.passage.propose(action, refusal.decision);
    this.#refuse(false, refusal);
  }

  #refuse(simple: boolean, refusal: Refusal): void {
    this.#refused ||= !simple;
    this.#forward(simple ? REFUSED_QUERY : REFUSED_PARSE, { kind: 'refused', simple, refusal });
  }

  #skipped(expectation: Expectation): void {
    const { passage, statements, portals } = this.#talk;
    if (expectation.kind === 'execute' || expectation.kind === 'query') {
      withdraw(expectation.defined);
      passage.result(expectation.seq, { status: 'skipped' });
    } else if (expectation.kind === 'parse') statements.withdraw(expectation.name, expectation.statement);
    else if (expectation.kind === 'bind') portals.withdraw(expectation.name, expectation.portal);
  }

  #prepared({ text, validUtf8 }: StatementText): Prepared {
    if (!validUtf8)
      return { text, analysis: { ok: false, reason: 'unparsable', message: 'the statement is not valid UTF-8' } };
    return { text, analysis: analyse(text) };
  }

  /** Of names the gateway does not know (a function opened the cursor), the server then says what becomes of them. */
  get #mayDoAnything(): boolean {
    return postgresRole(this.#talk.passage.session.role).any;
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
      catalog: this.#catalog,
    };
  }

  /** What the database holds: nothing that a role needs which may do anything. */
  get #catalog(): Catalog | null | undefined {
    return this.#mayDoAnything ? undefined : this.#talk.catalog.current();
  }
}

function asked(seq: number, action: PostgresAction, defined: readonly Definition[]): QueryExpectation {
  return { kind: 'query', seq, action, done: 0, failed: false, defined };
}

/** Those without parts of their own are shared: a flood of them costs a place in the queue each. */
const SYNC: Expectation = { kind: 'sync' };
const DESCRIBE: Expectation = { kind: 'describe' };
/** A decision, and what it was made from besides the statement. */
interface Decided {
  readonly role: unknown;
  readonly catalog: Catalog | null | undefined;
  readonly decision: Decision;
}

/** What was allowed when it was parsed, and is decided again should it be run. */
const PLANNED = allow('allowed to be planned; decided again when it is run');

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

function callText(oid: number): string {
  return `(FunctionCall message: function ${oid})`;
}

/** What stands in the record for a text that was not held: its beginning, and what tells it from every other. */
function unread(message: LongMessage, from: number): Prepared {
  const { head, length, sha256 } = message;
  return {
    text: head.toString('utf8', from).replace(/(?:\0.*|\ufffd+)$/s, ''),
    analysis: { ok: false, reason: 'too_large', message: 'the statement is too long to be judged' },
    whole: { length, sha256 },
  };
}

const UNKNOWN_PORTAL: Portal = { statements: [], parameters: [] };
