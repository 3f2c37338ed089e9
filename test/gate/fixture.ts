import type { Test } from 'tap';
import type { Clock } from '../../src/clock.js';
import { systemClock } from '../../src/clock.js';
import type { ServicePolicy } from '../../src/config/protocol.js';
import { scopeOf } from '../../src/config/scope.js';
import { Gate } from '../../src/gate/gate.js';
import { Policies } from '../../src/gate/policies.js';
import type { Grant, GrantCheck, GrantSource } from '../../src/grant/grant.js';
import { confirmationOf, formatHandle, mintId, mintSecret } from '../../src/grant/handle.js';
import { createLog, type Log } from '../../src/log.js';
import { freshLedger, startRecorder } from '../recording/fixture.js';

/** What a grant may leave unsaid. */
const UNSAID = { groups: [], request: null, nda: null, window: null, only: null } as const;

/** A clock that a test moves: the two faces apart, if it likes. */
export class TestClock implements Clock {
  wallTime = Date.now();
  monotonicTime = 1_000;

  wall(): number {
    return this.wallTime;
  }

  monotonic(): number {
    return this.monotonicTime;
  }

  /** Time passes, milliseconds. */
  pass(ms: number): void {
    this.wallTime += ms;
    this.monotonicTime += ms;
  }
}

/** Grants as the gate asks for them. What the store, the ledger and the signatures do about them is tested in test/grant. */
export class TestGrants implements GrantSource {
  readonly held = new Map<string, GrantCheck>();
  /** Called while a check is under way, before it is answered. */
  during: (id: string) => Promise<void> | void = () => {};

  async check(id: string): Promise<GrantCheck> {
    const answer = this.held.get(id) ?? {
      ok: false as const,
      reason: 'unknown_grant' as const,
      message: 'no such grant',
    };
    await this.during(id);
    return answer;
  }

  /** Adds a grant and answers it with its handle. */
  add(over: Partial<Grant> = {}, now = Date.now()): { grant: Grant; handle: string } {
    const secret = mintSecret();
    const grant: Grant = {
      id: mintId(),
      service: 'echo',
      principal: 'alice',
      role: 'reader',
      sponsor: 'dana',
      reason: 'a test',
      lane: 'production',
      owner: 'group:leads',
      issuedAt: now,
      notBefore: now,
      expiresAt: now + 600_000,
      renewals: 0,
      ...UNSAID,
      scram: null,
      token: 'a.b.c',
      ...over,
      confirmation: confirmationOf(secret),
    };
    this.held.set(grant.id, { ok: true, grant });
    return { grant, handle: formatHandle({ id: grant.id, secret }) };
  }

  revoke(id: string): void {
    this.held.set(id, { ok: false, reason: 'revoked', message: 'The grant was revoked.' });
  }
}

/** Of roles that are sets of words, as the echo protocol's. */
const words = {
  rulesOf: (role: unknown) => (role instanceof Set ? [...role].map(String) : []),
  narrow: (role: unknown, texts: ReadonlySet<string>) =>
    role instanceof Set ? new Set([...role].filter((word) => texts.has(String(word)))) : role,
  looser: () => [],
};

export function policyOf(
  protocol: string,
  roles: Readonly<Record<string, unknown>>,
  over: Partial<ServicePolicy> = {},
): ServicePolicy {
  return {
    name: 'echo',
    protocol,
    lane: 'production',
    owner: 'group:leads',
    upstream: {},
    roles: new Map(Object.entries(roles)),
    defaultRole: Object.keys(roles)[0] ?? '',
    ...scopeOf(words, new Map(Object.entries(roles))),
    grants: { maxDurationSeconds: 3_600, maxRenewals: 1 },
    recording: { mode: 'strict' },
    secrets: [],
    certificate: null,
    version: 'v1',
    text: '',
    ...over,
  };
}

/** A gate over a real recorder and a real ledger. */
export async function startGate(t: Test, policy: ServicePolicy, options: { clock?: Clock; log?: Log } = {}) {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const grants = new TestGrants();
  const policies = new Policies(new Map([[policy.name, policy]]));
  const clock = options.clock ?? systemClock;
  const lines: Record<string, unknown>[] = [];
  const log = options.log ?? createLog('debug', (line) => lines.push(JSON.parse(line)));
  const gate = new Gate({ grants, policies, recorder, clock, log });
  t.teardown(() => {
    gate.live.cutAll('shutdown');
    gate.live.deadlines.stop();
  });
  return { gate, grants, policies, recorder, database, clock, log, lines };
}
