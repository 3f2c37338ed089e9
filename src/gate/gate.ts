import type { Clock } from '../clock.js';
import type { ServicePolicy } from '../config/protocol.js';
import { messageOf } from '../errors.js';
import type { Grant, GrantCheck, GrantSource } from '../grant/grant.js';
import { isGrantId } from '../grant/handle.js';
import type { Log } from '../log.js';
import { Metrics } from '../metrics.js';
import type { Decision } from '../policy/decision.js';
import type { DenialReason } from '../policy/reason.js';
import type { Facts } from '../recording/event.js';
import type { Recorder } from '../recording/recorder.js';
import { Session } from '../session/session.js';
import { type Admission, mintAdmission } from './admission.js';
import { type Credential, grantNamed, type Presented, present } from './credential.js';
import { crowded, mismatch, nothingLeft, reachedOtherwise, refusal, unknown } from './entitlement.js';
import { LiveSessions } from './live.js';
import type { Networks } from './networks.js';
import type { Policies } from './policies.js';
import { Refusals } from './refusals.js';
import { beginRecord } from './session-record.js';
import type { Guest } from './strangers.js';

/** A client that asks to be let in to one service. */
export interface AdmitRequest {
  readonly protocol: string;
  readonly service: string;
  /** What it presented; null when it presented nothing. */
  readonly credential: Credential;
  /** Whom it says it is, where the protocol says it; the grant must be that principal's. */
  readonly principal?: string;
  /** Its address as the listener sees it. */
  readonly client: string;
  /** The same without a port; `client` has none when not given. */
  readonly address?: string | undefined;
  /** Its connection, where that is for this admission alone. */
  readonly guest?: Guest;
  /** How it comes, where that is not by the service's own port or host. */
  readonly via?: 'tunnel';
  /** One session for all connections of the handle, or of the browser, through this gateway (HTTP), instead of one for each. */
  readonly shared?: boolean;
}

export type Admitted =
  | { readonly ok: true; readonly admission: Admission }
  | { readonly ok: false; readonly decision: Decision };

export interface GateParts {
  readonly grants: GrantSource;
  readonly policies: Policies;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly log: Log;
  /** Who hears from which networks handles are used; nobody when not given. */
  readonly networks?: Pick<Networks, 'note'>;
  /** Of its own, which nobody scrapes, when not given. */
  readonly metrics?: Metrics;
}

/** How often a grant that keeps changing while it is being checked is checked again. */
const CHECKS = 3;

/** The gate: the one place where a credential becomes an admission. */
export class Gate {
  readonly live: LiveSessions;
  readonly #parts: GateParts;
  readonly #metrics: Metrics;
  readonly #refusals: Refusals;
  #isOpen = true;

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#metrics = parts.metrics ?? new Metrics();
    const { policies, clock, log } = parts;
    this.live = new LiveSessions({ check: (id) => this.#check(id), policies, clock, log, metrics: this.#metrics });
    this.#refusals = new Refusals(parts.recorder, parts.clock, this.#metrics);
    parts.recorder.pressed = () => this.live.deadlines.pressed;
  }

  /** Lets a client in, or says why not. Never throws; every refusal is one log line. */
  async admit(request: AdmitRequest): Promise<Admitted> {
    const answer = await this.#admit(request);
    if (answer.ok) this.#letIn(request, answer.admission);
    else this.turnedAway(request, answer.decision);
    return answer;
  }

  /** A client was refused before or instead of an admission: one log line, and one count. */
  turnedAway(request: Omit<AdmitRequest, 'protocol'>, { reason, rule }: Pick<Decision, 'reason' | 'rule'>): void {
    const { service, principal, client, credential } = request;
    const grant = grantNamed(credential);
    const known = this.#parts.policies.get(service) !== undefined;
    this.#metrics.admitted(known ? service : '', reason ?? '');
    this.#parts.log.warn({ service, principal, client, grant, reason, rule }, 'not admitted');
  }

  /**
   * A shared session that is live for this credential, without waiting: the path of every HTTP request but the first.
   * @param client - the address it is asked for from now
   */
  admitted(service: string, credential: Exclude<Credential, null>, client: string): Admission | null {
    const presented = present(credential);
    if (presented === null || presented.key === null) return null;
    const admission = this.live.shared.find(presented.id, service, presented.holder);
    if (admission === undefined || presented.holds(admission.session.grant) !== true) return null;
    if (!admission.session.isLive()) return null;
    this.#note(admission.session, client);
    return admission;
  }

  /** Each of those who waited for one admission together comes from a place of its own. */
  #letIn({ service, address, client }: AdmitRequest, { session }: Admission): void {
    this.#metrics.admitted(service, null);
    this.#note(session, address ?? client);
  }

  #note({ id: session, grant: { id: grant, principal, service } }: Session, address: string): void {
    this.#parts.networks?.note({ session, grant, principal, service, address });
  }

  /** Whether a service of this name is reached by this protocol. */
  serves(service: string, protocol: string): boolean {
    return this.#parts.policies.get(service)?.protocol === protocol;
  }

  /** Where a service is, in its protocol's own words, under the policy in force; undefined where there is none of this name. */
  upstreamOf(service: string): unknown {
    return this.#parts.policies.get(service)?.upstream;
  }

  /** Whether anybody is let in: not from the moment on that the gateway stops. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Stops admitting (`shutdown`); live sessions go on until they are cut. */
  stopAdmitting(): void {
    this.#isOpen = false;
  }

  async #admit(request: AdmitRequest): Promise<Admitted> {
    if (!this.#isOpen) return shuttingDown();
    const policy = this.#parts.policies.get(request.service);
    if (policy?.protocol !== request.protocol) {
      const isTheirs = policy !== undefined && (await this.#isTheirs(request));
      return { ok: false, decision: isTheirs ? reachedOtherwise(policy, request.protocol) : unknown(request.service) };
    }
    if (request.credential === null)
      return refuse(
        'malformed',
        'no handle was presented',
        'present the handle of your grant: as the password, or in Authorization: Bearer',
      );
    const presented = present(request.credential);
    if (presented === null || !isGrantId(presented.id))
      return refuse('malformed', 'what was presented is not a handle', 'a handle begins with dp_ and is used whole');
    if (request.shared !== true || presented.key === null) return this.#open(request, presented);
    return this.live.shared.openOnce(presented, request.service, () => this.#open(request, presented));
  }

  /** Whether a client shows the handle of a grant that is for it, and for the service it asks for. */
  async #isTheirs(request: AdmitRequest): Promise<boolean> {
    const { credential } = request;
    const presented = typeof credential === 'string' ? present(credential) : null;
    if (presented === null || !isGrantId(presented.id)) return false;
    const check = await this.#check(presented.id);
    const isMeant = check.ok && mismatch(request, check.grant, this.#parts.clock.wall()) === null;
    return isMeant && (await this.#holds(presented, check.grant));
  }

  /** A check that breaks its word and throws is an outage: nothing opens on an error (THREATS.md B13). */
  async #check(id: string): Promise<GrantCheck> {
    try {
      return await this.#parts.grants.check(id);
    } catch (thrown) {
      this.#parts.log.error({ err: thrown, grant: id }, 'checking a grant failed');
      return { ok: false, reason: 'store_unavailable', message: 'Grants cannot be checked at the moment.' };
    }
  }

  /** Who holds a grant and is refused is in the record; who only names one is a line of the log. */
  async #recordRefused(request: AdmitRequest, presented: Presented, holds: boolean, check: GrantCheck, why: Decision) {
    const policy = this.#parts.policies.get(request.service);
    const { grant } = check;
    if (policy === undefined || grant === undefined) return;
    // A proof would talk to the client, for a grant that is over.
    const shown = check.ok ? holds : typeof request.credential === 'string' && (await this.#holds(presented, grant));
    if (shown) this.#refusals.record(request, grant, policy, why);
  }

  async #open(request: AdmitRequest, presented: Presented): Promise<Admitted> {
    const watch = this.live.registry.watch(presented.id);
    try {
      // Subscribe, then check, then arm: a change that arrives during the check makes it be asked again.
      for (let round = 0; round < CHECKS; round += 1) {
        watch.touched = false;
        const check = await this.#check(presented.id);
        const holds = check.ok && (await this.#holds(presented, check.grant));
        // Only a yes may have been overtaken; a no stands, and is not kept waiting.
        if (watch.touched && check.ok) continue;
        // Its session would be cut at once: it takes an answer to the watch, which asks every second.
        if (check.ok && this.live.deadlines.isUnknown)
          return refuse('store_unavailable', 'grants could not be confirmed for too long');
        const answer = this.#conclude(request, presented, holds, check);
        if (!answer.ok) await this.#recordRefused(request, presented, holds, check, answer.decision);
        return answer;
      }
      return refuse('store_unavailable', 'the grant is changing');
    } finally {
      this.live.registry.unwatch(presented.id, watch);
    }
  }

  /** A proof that breaks off is none. */
  async #holds(presented: Presented, grant: Grant): Promise<boolean> {
    try {
      return await presented.holds(grant);
    } catch (thrown) {
      this.#parts.log.info({ grant: grant.id, err: messageOf(thrown) }, 'a proof of a handle broke off');
      return false;
    }
  }

  #conclude(request: AdmitRequest, { holder }: Presented, holds: boolean, check: GrantCheck): Admitted {
    if (!check.ok) return refuse(check.reason, check.message);
    const { grant } = check;
    if (!holds) return refuse('unknown_grant', 'no grant has this handle', 'check that the handle is whole');
    const wrong = mismatch(request, grant, this.#parts.clock.wall());
    if (wrong !== null) return { ok: false, decision: wrong };
    if (!this.#isOpen) return shuttingDown();
    const policy = this.#parts.policies.get(request.service);
    if (policy?.protocol !== request.protocol) return refuse('unknown_service', 'the service is gone');
    const gone = nothingLeft(grant, policy);
    if (gone !== null) return { ok: false, decision: gone };
    const existing = request.shared === true ? this.live.shared.find(grant.id, policy.name, holder) : undefined;
    const live = existing?.session.isLive() ? existing : undefined;
    // Whoever is in is cut when it waits too long; the next of them would only bring more that waits.
    if (live === undefined && !this.#parts.recorder.hasRoom(grant.principal))
      return refuse('recorder_unavailable', 'too much waits to be recorded');
    if (request.guest?.letIn(grant.principal) === false) return { ok: false, decision: crowded() };
    return { ok: true, admission: live ?? this.#begin(request, holder, grant, policy) };
  }

  #begin(request: AdmitRequest, holder: string, grant: Grant, policy: ServicePolicy): Admission {
    const { recorder, clock, log } = this.#parts;
    const { client } = request;
    const beginning = { grant, policy, client, startedAt: clock.wall() };
    const recording = beginRecord(recorder, beginning, holderFacts(request, holder));
    const { id } = recording.row;
    const meter = this.#metrics.service(policy.name, policy.protocol);
    meter.live.value += 1;
    const session = new Session({
      id,
      grant,
      holder,
      policy,
      recording,
      meter,
      deadlines: this.live.deadlines,
      clock,
      log,
      ended: (s) => this.live.ended(s),
    });
    this.live.registry.add(session);
    const admission = mintAdmission(session);
    if (request.shared === true) this.live.shared.add(admission);
    const { principal, role } = grant;
    log.info({ session: id, grant: grant.id, service: policy.name, principal, role, client }, 'session opened');
    return admission;
  }
}

function refuse(reason: DenialReason, message: string, hint?: string): Admitted {
  return { ok: false, decision: refusal(reason, message, hint) };
}

function shuttingDown(): Admitted {
  return refuse('store_unavailable', 'the gateway is shutting down');
}

/** Who opened a session, where that is not whoever has the handle. */
function holderFacts({ via }: AdmitRequest, holder: string): Facts {
  if (via === 'tunnel') return { via, tool: holder };
  return holder === '' ? {} : { browser: holder };
}
