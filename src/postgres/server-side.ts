import type { Conversation } from './conversation.js';
import type { Expectation, Refusal } from './expectations.js';
import { errorResponse, readFields } from './wire/backend.js';
import { BACKEND, type BackendHandler, FramingError } from './wire/framer.js';

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

  /**
   * @param changed - a run-time parameter was reported
   * @param quiet - whether nothing of the client's is on its way
   */
  constructor(talk: Conversation, changed: (name: string, value: string) => void, quiet: () => boolean) {
    this.#talk = talk;
    this.#changed = changed;
    this.#quiet = quiet;
  }

  message(type: number, frame: Buffer | null, length: number): Buffer | undefined {
    const talk = this.#talk;
    switch (type) {
      case BACKEND.dataRow:
        talk.rows += 1;
        talk.bytesOut += length;
        return undefined;
      case BACKEND.copyData:
        talk.bytesOut += length;
        return undefined;
      case BACKEND.commandComplete:
        this.#complete(frame!);
        return undefined;
      case BACKEND.ready:
        this.#ready(frame![5]!);
        return undefined;
      case BACKEND.error:
        return this.#error(frame);
      case BACKEND.parameterStatus: {
        const [name, value] = frame!.toString('utf8', 5).split('\0');
        this.#changed(name ?? '', value ?? '');
        return undefined;
      }
      default:
        this.#passing(type);
        return undefined;
    }
  }

  #passing(type: number): void {
    const { expectations, statements, portals } = this.#talk;
    const { head } = expectations;
    switch (type) {
      case BACKEND.parseComplete:
        if (head?.kind !== 'parse') throw outOfTurn('ParseComplete');
        statements.confirm(head.name, head.statement);
        break;
      case BACKEND.bindComplete:
        if (head?.kind !== 'bind') throw outOfTurn('BindComplete');
        portals.confirm(head.name, head.portal);
        break;
      case BACKEND.closeComplete:
        if (head?.kind !== 'close') throw outOfTurn('CloseComplete');
        (head.target === 'S' ? statements : portals).close(head.name);
        break;
      case BACKEND.rowDescription:
      case BACKEND.noData:
        if (head?.kind !== 'describe') return;
        break;
      case BACKEND.portalSuspended:
      case BACKEND.emptyQuery:
        if (head?.kind !== 'execute') return;
        this.#result(head.seq, '00000', type === BACKEND.portalSuspended ? 'suspended' : '');
        break;
      case BACKEND.copyIn:
        return this.#copyBegins(head);
      default:
        return;
    }
    expectations.pop();
  }

  #copyBegins(head: Expectation | undefined): void {
    if (head?.kind !== 'execute' && head?.kind !== 'query') throw outOfTurn('CopyInResponse');
    this.#talk.copyIn = true;
    this.#talk.expectations.swallowSyncs();
  }

  #complete(frame: Buffer): void {
    const { head } = this.#talk.expectations;
    if (head?.kind !== 'execute' && head?.kind !== 'query') throw outOfTurn('CommandComplete');
    const tag = frame.toString('utf8', 5, frame.length - 1);
    this.#result(head.seq, '00000', tag);
    if (REDEFINES.test(tag)) this.#talk.redefined = true;
    if (head.kind === 'execute') this.#talk.expectations.pop();
  }

  #ready(status: number): void {
    const { expectations, portals } = this.#talk;
    const ended = expectations.pop();
    if (ended?.kind !== 'sync' && ended?.kind !== 'query' && !(ended?.kind === 'refused' && ended.simple)) {
      throw outOfTurn('ReadyForQuery');
    }
    this.#talk.copyIn = false;
    if (this.#talk.redefined && status === IDLE) {
      this.#talk.redefined = false;
      this.#talk.catalog.changed();
    }
    this.#talk.since = expectations.head === undefined ? 0 : this.#talk.clock.monotonic();
    if (status === IDLE && expectations.head === undefined && this.#quiet()) {
      portals.retain((portal) => portal.statements.some(({ text }) => /hold/i.test(text)));
    }
  }

  /** @param frame - null when it is too long to be read */
  #error(frame: Buffer | null): Buffer | undefined {
    const { expectations } = this.#talk;
    const { head } = expectations;
    this.#talk.copyIn = false;
    if (head === undefined || head.kind === 'sync') return undefined;
    const status = (frame === null ? undefined : readFields(frame).get('C')) ?? 'XX000';
    if (head.kind === 'query') {
      head.failed = true;
      this.#result(head.seq, status, '');
      return undefined;
    }
    if (head.kind === 'refused' && head.simple) return refusalOf(head.refusal);
    const [failed, ...skipped] = expectations.fail();
    if (failed?.kind === 'execute') this.#result(failed.seq, status, '');
    else if (failed !== undefined) this.#dropped(failed);
    for (const one of skipped) this.#dropped(one);
    return failed?.kind === 'refused' ? refusalOf(failed.refusal) : undefined;
  }

  #dropped(expectation: Expectation): void {
    const { passage, statements, portals } = this.#talk;
    if (expectation.kind === 'parse') statements.withdraw(expectation.name, expectation.statement);
    else if (expectation.kind === 'bind') portals.withdraw(expectation.name, expectation.portal);
    else if (expectation.kind === 'execute' || expectation.kind === 'query')
      passage.result(expectation.seq, { status: 'skipped' });
  }

  #result(seq: number, status: string, tag: string): void {
    const talk = this.#talk;
    const now = talk.clock.monotonic();
    const ms = talk.since === 0 ? 0 : Math.round((now - talk.since) * 1000) / 1000;
    const copied = talk.copyBytes > 0 ? { bytesIn: talk.copyBytes } : {};
    const sample = talk.copyBytes > 0 ? { copy: Buffer.concat(talk.copySample).toString('utf8') } : null;
    talk.passage.result(seq, { status, tag, rows: talk.rows, bytesOut: talk.bytesOut, ...copied, ms }, sample);
    talk.rows = 0;
    talk.bytesOut = 0;
    talk.copyBytes = 0;
    talk.copySample = [];
    talk.since = now;
  }
}

/**
 * An answer to nothing that was asked. Either the server broke the protocol, or the client led it astray (a Sync inside a
 * COPY that was failing): which answer belongs to which message is not known any more, so the session ends.
 */
function outOfTurn(what: string): FramingError {
  return new FramingError(`a ${what} answers nothing that was asked`);
}

/** The refusal as the error it takes the place of. */
function refusalOf({ sqlstate, decision }: Refusal): Buffer {
  return errorResponse({
    severity: 'ERROR',
    sqlstate,
    message: `Daypass: ${decision.message}`,
    detail: `Decided by: ${decision.rule}`,
    hint: decision.hint,
  });
}
