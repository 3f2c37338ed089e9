import { withdraw } from './by-name.js';
import type { Conversation } from './conversation.js';
import type { CopyData } from './copy-data.js';
import type { Expectation } from './expectations.js';
import { type Overrun, overrun } from './limits.js';
import { mayHold, type Portal } from './names.js';
import { asShown } from './pinned.js';
import { OVER_LIMIT, overrunReport, refusalReport } from './reports.js';
import { Result } from './result.js';
import type { PostgresRole } from './role.js';
import type { Share } from './taken.js';
import { isRunning, type Running, recordSkipped, settleNames, sourcesUnderWay } from './under-way.js';
import { parameterStatus, readFields } from './wire/backend.js';
import { BACKEND, type BackendHandler, DROP } from './wire/backend-framer.js';
import { FramingError } from './wire/framing.js';

const BEHIND_A_LIMIT = 'a statement ran behind a result that was over a limit of the role';

/** In a transaction block nothing; outside one every portal but those WITH HOLD is gone. */
const IDLE = 0x49;
/** What the server calls statements after which its catalog may be another. */
const REDEFINES = /^(?:CREATE|ALTER|DROP|SELECT INTO|IMPORT|DO|CALL|DISCARD|SECURITY|REASSIGN)\b/;

/**
 * What the server answers: each answer is told of the message that caused it, so that results are recorded, names are
 * confirmed, and the error of a replaced message becomes the refusal. Everything else passes by unread.
 */
export class ServerSide implements BackendHandler {
  readonly #talk: Conversation;
  readonly #changed: (name: string, value: string) => void;
  readonly #quiet: () => boolean;
  readonly #stop: () => void;
  readonly #result = new Result();
  /** The client's data for the result under way, when that is a COPY's. */
  #copy: CopyData | null = null;
  /** An error took the place of a completed statement: the client hears nothing more until the server is ready again. */
  #muted = false;
  /** A definition was run that may have changed the catalog once its transaction has ended. */
  #redefined = false;
  /** The tag seen last that redefines nothing: most come again and again. */
  #harmless = '';

  /**
   * @param changed - a run-time parameter was reported
   * @param quiet - whether nothing of the client's is on its way
   * @param stop - the statement under way is to be cancelled
   */
  constructor(
    talk: Conversation,
    changed: (name: string, value: string) => void,
    quiet: () => boolean,
    stop: () => void,
  ) {
    this.#talk = talk;
    this.#changed = changed;
    this.#quiet = quiet;
    this.#stop = stop;
  }

  message(type: number, frame: Buffer | null, length: number): Buffer | undefined {
    const talk = this.#talk;
    const result = this.#result;
    switch (type) {
      case BACKEND.dataRow: {
        const { role } = talk;
        result.row(frame, length, role.recording.results);
        return this.#withinLimits(role, result.rows);
      }
      case BACKEND.copyData:
        result.copyData(length);
        return this.#withinLimits(talk.role, result.copied);
      case BACKEND.commandComplete:
        return this.#complete(frame!);
      case BACKEND.ready:
        this.#ready(frame![5]!);
        return undefined;
      case BACKEND.error: {
        const instead = this.#error(frame);
        if (instead === undefined && frame !== null && isLast(frame)) talk.dismissed = true;
        return instead;
      }
      case BACKEND.notice:
        return undefined;
      case BACKEND.portalSuspended: {
        const over = result.overrun;
        this.#passing(type);
        return this.#concluded(over, 'The rest of the rows stays with the server.');
      }
      case BACKEND.rowDescription:
        this.#passing(type);
        // Of a Query's own rows, or of the portal that is executed next; another description is no result's.
        if (talk.expectations.head?.kind === 'query' || talk.expectations.head?.kind === 'execute') {
          result.describedBy(frame);
        }
        return this.#muted ? DROP : undefined;
      case BACKEND.parameterStatus: {
        const [name = '', value = ''] = frame!.toString('utf8', 5).split('\0');
        this.#changed(name, value);
        const shown = asShown(talk.passage.session, name, value);
        return shown === value ? undefined : parameterStatus(name, shown);
      }
      default:
        this.#passing(type);
        return this.#muted || result.overrun !== null ? DROP : undefined;
    }
  }

  /** A row over a limit of the role is not the client's any more: the statement is cancelled, and its end becomes an error. */
  #withinLimits(role: PostgresRole, rows: number): Buffer | undefined {
    const result = this.#result;
    if (this.#muted || result.overrun !== null) return DROP;
    if (role.maxRows === null && role.maxBytes === null) return undefined;
    const before = this.#before();
    result.overrun = overrun(role, before.rows + rows, before.bytes + result.bytes);
    if (result.overrun === null) return undefined;
    this.#stop();
    return DROP;
  }

  /** What the client had of the same portal before: a result that is fetched in parts is one. */
  #before(): Share {
    const talk = this.#talk;
    const { head } = talk.expectations;
    this.#result.before ??= talk.taken.most(isRunning(head) ? sourcesUnderWay(talk, head) : []);
    return this.#result.before;
  }

  #passing(type: number): void {
    const { expectations, statements, portals, taken } = this.#talk;
    const { head } = expectations;
    switch (type) {
      case BACKEND.parseComplete:
        if (head?.kind !== 'parse') throw outOfTurn('ParseComplete');
        statements.confirm(head.name, head.statement);
        break;
      case BACKEND.bindComplete:
        if (head?.kind !== 'bind') throw outOfTurn('BindComplete');
        portals.confirm(head.name, head.portal, this.#bound(head.portal, head.statement));
        taken.begins(head.name, false);
        break;
      case BACKEND.closeComplete:
        if (head?.kind !== 'close') throw outOfTurn('CloseComplete');
        (head.target === 'S' ? statements : portals).close(head.name);
        if (head.target === 'P') taken.closes(head.name);
        break;
      case BACKEND.rowDescription:
      case BACKEND.noData:
        if (head?.kind !== 'describe') return;
        break;
      case BACKEND.portalSuspended:
        if (head?.kind !== 'execute') return;
        this.#recordResult(head, this.#result.overrun === null ? '00000' : OVER_LIMIT, 'suspended');
        break;
      case BACKEND.emptyQuery:
        if (!isRunning(head)) return;
        this.#recordResult(head, '00000', '');
        if (head.kind === 'query') return;
        break;
      case BACKEND.functionResult:
        if (head?.kind !== 'query' || head.call !== true) throw outOfTurn('FunctionCallResponse');
        return this.#recordResult(head, '00000', 'FUNCTION CALL');
      case BACKEND.copyIn:
        return this.#copyBegins(head);
      default:
        return;
    }
    this.#talk.answered();
  }

  /** A portal with the statement that its name stood for, now that the server has said which of several that was. */
  #bound(portal: Portal, name: string): Portal {
    const statement = this.#talk.statements.confirmed(name);
    if (portal.statements.length < 2 || statement === undefined || !portal.statements.includes(statement))
      return portal;
    return { ...portal, statements: [statement] };
  }

  /**
   * Behind a COPY the server takes nothing but its data up to the end of that: another message it discards, or hangs up.
   * Which answer would belong to which message is not known any more.
   */
  #copyBegins(head: Expectation | undefined): void {
    const talk = this.#talk;
    if (!isRunning(head)) throw outOfTurn('CopyInResponse');
    const next = talk.expectations.takeData();
    if (next !== undefined && next.kind !== 'copyEnd') {
      throw new LedAstray('a message was sent behind a COPY that takes its data first');
    }
    // Its client would not be asked for the data: each side would wait for the other.
    if (this.#muted || this.#result.overrun !== null) throw new FramingError(BEHIND_A_LIMIT, true);
    talk.copyIn = next === undefined;
    this.#copy = next?.copy ?? talk.copy;
  }

  #complete(frame: Buffer): Buffer | undefined {
    const talk = this.#talk;
    const { head } = talk.expectations;
    if (!isRunning(head)) throw outOfTurn('CommandComplete');
    const tag = frame.toString('utf8', 5, frame.length - 1);
    const over = this.#result.overrun;
    this.#recordResult(head, over === null ? '00000' : OVER_LIMIT, tag);
    if (tag !== this.#harmless) {
      if (REDEFINES.test(tag)) this.#redefined = true;
      else this.#harmless = tag;
    }
    settleNames(talk, head, tag);
    if (head.kind === 'execute') talk.answered();
    else head.done += 1;
    return this.#concluded(over, `The server had completed the statement (${tag}) before it could be stopped.`);
  }

  /** What the client hears in the place of the end of a statement whose result went over a limit. */
  #concluded(over: Overrun | null, detail: string): Buffer | undefined {
    // What the client takes for skipped was run: where it may have changed something, nobody can say what counts.
    if (this.#muted && !this.#talk.role.readOnly) {
      throw new FramingError(BEHIND_A_LIMIT, true);
    }
    if (this.#muted) return DROP;
    if (over === null) return undefined;
    this.#muted = true;
    return overrunReport(over, detail);
  }

  #ready(status: number): void {
    const { expectations, portals } = this.#talk;
    const ended = this.#talk.answered();
    if (ended?.kind !== 'sync' && ended?.kind !== 'query' && !(ended?.kind === 'refused' && ended.simple)) {
      throw outOfTurn('ReadyForQuery');
    }
    this.#talk.turns += 1;
    this.#talk.copyIn = false;
    this.#muted = false;
    if (this.#redefined && status === IDLE) {
      this.#redefined = false;
      this.#talk.catalog.changed();
    }
    if (expectations.head !== undefined) this.#talk.since = this.#talk.clock.monotonic();
    if (status === IDLE) this.#talk.taken.transactionEnded();
    if (status === IDLE && expectations.head === undefined && this.#quiet()) {
      portals.retain(mayHold);
    }
  }

  /** @param frame - null when it is too long to be read */
  #error(frame: Buffer | null): Buffer | undefined {
    const { expectations } = this.#talk;
    const { head } = expectations;
    this.#talk.copyIn = false;
    if (head === undefined || head.kind === 'sync') return undefined;
    const over = this.#result.overrun;
    const status = over ? OVER_LIMIT : ((frame === null ? undefined : readFields(frame).get('C')) ?? 'XX000');
    const instead = over ? overrunReport(over, 'The statement was stopped.') : this.#muted ? DROP : undefined;
    if (head.kind === 'query') {
      head.failed = true;
      this.#recordResult(head, status, '');
      withdraw(head.defined);
      return instead;
    }
    if (head.kind === 'refused' && head.simple) return refusalReport(head.refusal);
    if (head.kind === 'execute') this.#recordResult(head, status, '');
    const [failed, ...skipped] = expectations.fail();
    if (failed?.kind === 'execute') withdraw(failed.defined);
    else if (failed !== undefined) recordSkipped(this.#talk, failed);
    for (const one of skipped) recordSkipped(this.#talk, one);
    if (expectations.head === undefined) this.#talk.since = 0;
    return failed?.kind === 'refused' && instead === undefined ? refusalReport(failed.refusal) : instead;
  }

  /**
   * The connection ends: what was under way, or on its way, is recorded as interrupted, with what the client had of it.
   * Whether the server had finished one of them is not known; the cancel is on its way.
   */
  interrupt(): void {
    for (const one of this.#talk.expectations.unanswered()) {
      if (one.kind === 'execute' || (one.kind === 'query' && !one.failed)) this.#recordResult(one, 'interrupted', '');
    }
  }

  /** The result ends, or this part of it: it is recorded, and the next one begins. */
  #recordResult(running: Running, status: string, tag: string): void {
    const talk = this.#talk;
    const result = this.#result;
    const copy = this.#copy;
    const now = talk.clock.monotonic();
    const ms = talk.since === 0 ? 0 : Math.round((now - talk.since) * 1000) / 1000;
    const sample = copy?.sample() ?? result.takeSample();
    talk.passage.result(running.seq, result.facts(running.seq, status, tag, ms, copy), sample);
    if (result.rows > 0) talk.taken.add(sourcesUnderWay(talk, running), result.rows, result.bytes);
    result.next();
    this.#copy = null;
    talk.since = now;
  }
}

/** The client sent what leaves nobody sure which answer belongs to which message; it is told so. */
export class LedAstray extends FramingError {}

/**
 * An answer to nothing that was asked. Either the server broke the protocol, or the client led it astray (a Sync inside a
 * COPY that was failing): which answer belongs to which message is not known any more, so the session ends.
 */
function outOfTurn(what: string): FramingError {
  return new FramingError(`a ${what} answers nothing that was asked`);
}

/** Whether the server hangs up after this error. */
function isLast(frame: Buffer): boolean {
  const fields = readFields(frame);
  return /^(?:FATAL|PANIC)$/.test(fields.get('V') ?? fields.get('S') ?? '');
}
