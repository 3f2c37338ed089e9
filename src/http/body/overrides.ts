import type { Passage } from '../../gate/passage.js';
import type { Decision } from '../../policy/decision.js';
import type { HttpAction, RequestAction } from '../action.js';
import { judge } from '../judge.js';
import type { HttpParts } from '../parts.js';
import { type Refusal, refusalOf } from '../refusals/deny.js';
import { withoutStream } from '../rules/decide.js';
import { FormMethods } from '../rules/form-methods.js';
import type { BodyGuard, Guarded, Verdict } from './guarded.js';

/** The body of a request asks for a method that is not allowed. */
export class MethodRefused extends Error {
  readonly decision: Decision;

  /** @param isCertain - otherwise it is not known what it asks for, and it may be this */
  constructor(method: string, decision: Decision, isCertain: boolean) {
    const why = isCertain
      ? `asks for ${method} in its place`
      : `may ask for ${method} in its place: what it asks for cannot be told`;
    super(`The body of this request ${why}.`);
    this.decision = decision;
  }

  refusal(session: string): Refusal {
    const { detail, ...refusal } = refusalOf(this.decision, session);
    return { ...refusal, detail: `${this.message} ${detail}` };
  }
}

/**
 * Decides and records what the body of a request asks for in place of its own method (`_method=delete` of a form), before the part of it
 * that does goes on.
 */
export class Overrides implements BodyGuard {
  readonly #parts: HttpParts;
  readonly #passage: Passage<HttpAction>;
  readonly #methods: FormMethods;
  /** As which it is decided on. */
  readonly #asked: RequestAction[] = [];
  readonly #action: RequestAction;
  /** Something was decided on that may not be recorded yet. */
  #isUnsafe = false;

  private constructor(parts: HttpParts, passage: Passage<HttpAction>, action: RequestAction, methods: FormMethods) {
    this.#parts = parts;
    this.#passage = passage;
    this.#action = action;
    this.#methods = methods;
  }

  /**
   * @param seq - of the request in the record
   * @returns null where no body asks for anything
   */
  static of(parts: HttpParts, passage: Passage<HttpAction>, action: RequestAction, seq: number): Overrides | null {
    const { principal } = passage.session.grant;
    const methods = FormMethods.of(principal, action.method, action.headers);
    return methods === null ? null : new Overrides(parts, passage, { ...action, of: seq }, methods);
  }

  hear(bytes: Buffer, isLast: boolean, body: Guarded, answer: (verdict: Verdict) => void): void {
    this.#methods.push(bytes, isLast, (methods) => {
      if (!this.#isAllowed(methods, body)) return;
      if (this.#methods.isOpen && !isLast) return answer('more');
      if (!this.#isUnsafe) return answer('go');
      this.#isUnsafe = false;
      this.#passage.release(() => answer('go'));
    });
  }

  close(): void {
    this.#methods.close();
  }

  /** Decides, and tells the body where one of them is not. */
  #isAllowed(methods: readonly string[], body: Guarded): boolean {
    for (const method of methods) {
      const action = { ...this.#action, method };
      const { decision } = this.#passage.propose(action, withoutStream(judge(this.#parts, this.#passage, action)));
      if (decision.outcome !== 'allow') {
        this.#passage.release(() => body.fail(new MethodRefused(method, decision, this.#methods.isCertain)));
        return false;
      }
      this.#asked.push(action);
      this.#isUnsafe = true;
      if (decision.obligations.maxBody !== undefined) body.narrow(decision.obligations.maxBody);
    }
    return true;
  }

  /** Why a policy that was reloaded does not allow what was asked for any more; null where it does, within what it allows of the body. */
  denied(body: Pick<Guarded, 'narrow'> | null): Decision | null {
    for (const action of this.#asked) {
      const decision = withoutStream(this.#passage.judge(action));
      if (decision.outcome !== 'allow') return decision;
      if (decision.obligations.maxBody !== undefined) body?.narrow(decision.obligations.maxBody);
    }
    return null;
  }
}
