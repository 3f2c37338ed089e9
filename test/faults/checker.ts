import { setTimeout as pause } from 'node:timers/promises';
import root, { type Test } from 'tap';
import { readEvents } from '../support/gateway.js';
import type { GatewayProcess } from '../support/gateway-process.js';
import { endsByItself } from '../support/lingering.js';
import { type Checked, revokeOn, type Scene } from './checked.js';
import { type Client, type End, TOKEN } from './clients.js';
import type { Grant } from './ground.js';

/** The issue's own limits, milliseconds: no byte of a service later than the end of its grant and this. */
const AFTER_EXPIRY = 1_000;
const AFTER_REVOCATION = 5_000;
/** What one write to a client gives at the most, bytes: its receipt counts it as given after an end that came within it. */
const ONE_WRITE = 65_536;
/** What may be open or held at the end that was not before the work: pools that grew, and what they read last. MiB. */
const SPARE_DESCRIPTORS = 12;
const SPARE_MEMORY = 7;
/** What a gateway may say loudly while a part of it is at fault; anything else at that level is a fault of its own. */
const EXPECTED =
  /^(recording to Postgres fails|the ledger does not answer|the ledger did not take a revocation|the grant store does not answer|no upstream connection|live grants could not be confirmed|the catalog|this gateway could not sign|.*could not be indexed|the clock differs)/;

/** The operator's own requests fail while the ledger or the store does: said to the operator, and in the log. */
const EXPECTED_OF_API = /^(announce_failed|ledger_unavailable|store_unavailable|queue_failed)$/;

interface Held {
  readonly descriptors: number;
  readonly memory: Promise<number>;
}

function holds(gateway: Checked): Held {
  const memory = gateway.memory();
  memory.catch(() => {}); // awaited at the end
  return { descriptors: gateway.descriptors(), memory };
}

/** What must hold under every fault. Clients and grants are told to it; `conclude` looks at all of it. */
export class Checker {
  readonly #t: Test;
  readonly #scene: Scene;
  #before: readonly Held[];
  readonly #clients: Client[] = [];
  /** Newcomers may be closed without a word: there is no descriptor to speak through. */
  speechless = false;
  readonly #refusals: { readonly who: string; readonly code: string; readonly message: string }[] = [];

  constructor(t: Test, scene: Scene) {
    this.#t = t;
    this.#scene = scene;
    this.#before = scene.gateways.map(holds);
  }

  /** The work so far was for warmth only: what the gateways hold now is what they must come back to. */
  warm(): this {
    this.#before = this.#scene.gateways.map(holds);
    return this;
  }

  /** Resolves when it is known what the gateways hold before the work. */
  async measured(): Promise<void> {
    await Promise.all(this.#before.map(({ memory }) => memory));
  }

  /** Follows clients from here on. */
  follow<Some extends readonly [Client, ...Client[]]>(...clients: Some): Some {
    this.#clients.push(...clients);
    for (const client of clients) this.#t.teardown(() => void client.leave());
    return clients;
  }

  /** Lets go of the clients that were followed: what they were for is over. */
  forget(): void {
    this.#clients.length = 0;
  }

  /** Somebody must be refused: the refusal is kept and answered. Null when nobody was. */
  async refused(who: string, asking: Promise<Client>): Promise<{ code: string; message: string } | null> {
    try {
      const client = await asking;
      this.#clients.push(client);
      await client.leave();
      return null;
    } catch (thrown) {
      const { code = '', message } = thrown as Error & { code?: string };
      this.#refusals.push({ who, code, message });
      return { code, message };
    }
  }

  /** Revokes as the operator, on the first gateway unless told; the answer is the gateway's. */
  async revoke(grant: Grant, on?: GatewayProcess): Promise<{ status: number }> {
    grant.revokedAt ??= Date.now();
    if (on !== undefined) return revokeOn(on, grant.id);
    const [first] = this.#scene.gateways;
    if (first === undefined) throw new Error('there is no gateway');
    return first.revoke(grant.id);
  }

  /** (2) At this very moment, whatever a service has seen is committed: not once the ledger is back, but before. */
  async strict(step: Test): Promise<void> {
    const saw = this.#seen();
    const recorded = tokensIn(JSON.stringify(await readEvents(this.#scene.ledger)));
    step.same(
      [...saw].filter((one) => !recorded.has(one)),
      [],
      `all ${saw.size} that services saw are recorded by now`,
    );
  }

  /** Ends every client that is left, then looks at everything. The gateways are stopped. */
  async conclude(): Promise<void> {
    const t = this.#t;
    const ends: (readonly [Client, End])[] = [];
    for (const client of this.#clients) ends.push([client, await client.leave()]);
    this.#inTime(ends);
    this.#toldWhy(ends);
    for (const grant of new Set(this.#clients.map((client) => client.grant))) await this.revoke(grant);
    for (const gateway of this.#scene.gateways) await this.#letGo(gateway);
    for (const gateway of this.#scene.gateways)
      t.same(await gateway.stop(), { code: 0, signal: null }, 'ends in order');
    await this.#recorded();
    this.#quiet();
    endsByItself(root);
  }

  /** (1) No byte of a service after its grant ended. */
  #inTime(ends: readonly (readonly [Client, End])[]): void {
    const late = ends
      .map(([client]) => ({ name: client.name, late: client.lastByte - endOf(client.grant) }))
      .filter(({ late }) => late > 0);
    this.#t.same(late, [], 'no byte of a service came later than the end of its grant allows');
  }

  /** (5) Whoever was refused or ended was told why in its own protocol, wherever something could be said. */
  #toldWhy(ends: readonly (readonly [Client, End])[]): void {
    const silent = ends.filter(([, { told, mid, left }]) => !left && !mid && !isTold(told));
    this.#t.same(
      silent.map(([{ name }, end]) => ({ name, ...end })),
      [],
      'whoever was ended was told why',
    );
    const refusals = [
      ...this.#refusals,
      ...ends.flatMap(([{ name: who, refusals }]) => refusals.map((one) => ({ who, ...one }))),
    ];
    const unclear = refusals.filter((one) => !isTold(one) && !(this.speechless && one.code === ''));
    this.#t.same(unclear, [], `each of ${refusals.length} refusals came in the client's own protocol, with a reason`);
  }

  /** (3) What was held is let go. */
  async #letGo(gateway: Checked): Promise<void> {
    const before = this.#before[this.#scene.gateways.indexOf(gateway)];
    if (before === undefined) throw new Error('a gateway that was not there');
    for (let left = 200; left > 0 && (await gateway.liveSessions()) > 0; left -= 1) await pause(50);
    this.#t.equal(await gateway.liveSessions(), 0, 'no session is live');
    const most = before.descriptors + SPARE_DESCRIPTORS;
    for (let left = 100; left > 0 && gateway.descriptors() > most; left -= 1) await pause(50);
    const descriptors = gateway.descriptors();
    this.#t.ok(descriptors <= most, `${descriptors} descriptors are open, not more than ${most}`);
    await this.#forgot(gateway, await before.memory);
  }

  /** (3) The heap and its buffers return; what a timer still holds may take a moment. */
  async #forgot(gateway: Checked, before: number): Promise<void> {
    let after = await gateway.memory();
    for (let left = 10; left > 0 && after > before + SPARE_MEMORY; left -= 1) {
      await pause(1_000);
      after = await gateway.memory();
    }
    const words = `${after.toFixed(1)} MiB are held, after ${before.toFixed(1)} before`;
    this.#t.ok(after <= before + SPARE_MEMORY, words);
    this.#t.comment(words);
  }

  /** (2) Whatever an upstream saw is in the record, and (4) every chain verifies. */
  async #recorded(): Promise<void> {
    const { ledger } = this.#scene;
    const saw = this.#seen();
    const events = await readEvents(ledger);
    const recorded = tokensIn(JSON.stringify(events));
    const answered = new Set(this.#clients.flatMap((client) => [...client.answered]));
    this.#t.comment(`${answered.size} answered, ${saw.size} seen by the services, ${recorded.size} in the record`);
    this.#t.ok(answered.size > 0 && [...answered].every((one) => saw.has(one)), 'there was something to lose');
    this.#t.same(
      [...saw].filter((one) => !recorded.has(one)),
      [],
      'nothing reached a service that is not in the record',
    );
    const open = await ledger.query('select id from daypass.sessions where ended_at is null');
    this.#t.same(open, [], 'every session has its end in the record');
    const late = await ledger.query(`select id from daypass.sessions where bytes_after_due > ${ONE_WRITE}`);
    this.#t.same(late, [], 'and no receipt tells of more after the end than the one write that was under way then');
    await this.#verified();
  }

  /** The tokens of what reached the services. */
  #seen(): Set<string> {
    return tokensIn(this.#scene.seen());
  }

  async #verified(): Promise<void> {
    const { openDatabase } = await import('../../src/recording/database.js');
    const { verifyAll } = await import('../../src/recording/verify-database.js');
    const pool = openDatabase(this.#scene.ledger.url);
    try {
      const { findings, sessions } = await verifyAll(pool);
      this.#t.same(findings, [], 'every chain verifies');
      const [count] = await this.#scene.ledger.query('select count(*)::int as n from daypass.sessions');
      this.#t.equal(sessions, count?.n, `of all ${sessions} sessions`);
    } finally {
      await pool.end();
    }
  }

  /** (4) Nothing failed but what was made to fail. */
  #quiet(): void {
    const loud = this.#scene.gateways
      .flatMap(({ lines }) => lines)
      .filter((line) => Number(line.level) >= 50 && !isExpected(line));
    this.#t.same(loud, [], 'the gateway had no fault of its own');
  }
}

function isExpected({ msg, err }: Record<string, unknown>): boolean {
  const code = typeof err === 'object' && err !== null && 'code' in err ? String(err.code) : '';
  return EXPECTED.test(String(msg)) || EXPECTED_OF_API.test(code);
}

function endOf({ expiresAt, revokedAt }: Grant): number {
  const expiry = Date.parse(expiresAt) + AFTER_EXPIRY;
  return revokedAt === null ? expiry : Math.min(expiry, revokedAt + AFTER_REVOCATION);
}

/** A SQLSTATE, an HTTP status with a problem, or a close code; each with words. */
function isTold(told: { readonly code: string; readonly message: string } | null): boolean {
  if (told === null) return false;
  if (/^[45]\d\d$/.test(told.code)) return /"reason":"\w+"/.test(told.message);
  return /^(57P01|57P03|08006|08P01|28P01|28000|4001|1014)$/.test(told.code) && told.message.length > 10;
}

function tokensIn(text: string): Set<string> {
  return new Set(text.match(TOKEN) ?? []);
}
