/*
 * `daypass connect`:
 *
 *   psql, curl, …            daypass connect                          gateway
 *     | connects to ---------> | 127.0.0.1                              |
 *     |                        | WebSocket, bearer token -------------> | whose grant? as at every other door
 *     | bytes, both ways ----- | ------ the tunnel of this connection - | the service's protocol, decided and recorded
 *     |                        | how much time is left? --------------> | every 15 s
 *     | <---- its own end ---- | <------------- 4001 and the reason --- | the grant has ended
 *
 * Each connection has a tunnel of its own, and is never continued by another: nothing is sent twice.
 */
import type { Socket } from 'node:net';
import { resolve } from 'node:path';
import { createInterface, type Interface } from 'node:readline/promises';
import { type DaypassError, messageOf } from '../errors.js';
import { errorResponse } from '../postgres/wire/backend.js';
import { runClient } from './child.js';
import type { ConnectOptions } from './connect.js';
import { Countdown, clockFace } from './countdown.js';
import { type AccessOf, AccessWatch, askHeld, type Held } from './held-access.js';
import { type LocalPort, openLocalPort, type PortEvents } from './local-port.js';
import { socketIn } from './local-socket.js';
import { ownerOf } from './port-owner.js';
import { renew, renewalAsked } from './renewal.js';
import { type ExitCode, tell } from './run.js';
import { type LocalService, placeOf, settingsOf, usualPort } from './settings.js';
import { StatusLine } from './status-line.js';
import { loggedInByNow } from './tool-login.js';
import { openTunnel } from './tunnel.js';
import { facts } from './words.js';

/**
 * Connects until the client that was asked for, the access or the person ends it.
 * @returns the exit code
 * @throws DaypassError `not_logged_in`, `no_access`, `outside_hours`, `port_in_use`, `not_started`, `no_gateway`
 */
export async function connect(service: string, words: readonly string[], options: ConnectOptions): Promise<number> {
  const { kept, ...place } = await loggedInByNow(options);
  const of = { ...place, token: kept.token, service, grant: options.grant };
  const held = await askHeld(of);
  const connecting = new Connecting(of, held);
  const folder = options.socket === undefined ? undefined : resolve(options.socket);
  const port = await connecting.open(words.length > 0 && folder === undefined ? 0 : options.port, folder);
  const local = { service, protocol: held.protocol, subject: kept.subject, port, folder };
  if (words.length > 0) return runClient(words, local).finally(() => connecting.end(0));
  tell(
    options,
    { ...local, gateway: place.gateway, ...held.grant, settings: Object.fromEntries(settingsOf(local)) },
    () => welcome(local, held),
  );
  connecting.listenToTyping();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => connecting.end(0));
  return connecting.ended;
}

function welcome(local: LocalService, { grant }: Held): string {
  const { service } = local;
  return facts([
    ['connected', `${placeOf(local)} leads to ${service} as ${grant.role}`],
    ['left', `${clockFace(grant.secondsLeft)}, until ${grant.until}`],
    ['hours', grant.window],
    ...settingsOf(local),
  ]);
}

/** One `daypass connect` under way: its port, its countdown, and what it tells. */
class Connecting implements PortEvents {
  readonly ended: Promise<ExitCode>;
  readonly #of: AccessOf;
  readonly #line = new StatusLine(process.stderr);
  readonly #countdown = new Countdown({ monotonic: () => performance.now(), wall: () => Date.now() });
  readonly #watch: AccessWatch;
  #held: Held;
  #port: LocalPort | null = null;
  #isAway = false;
  #typing: Interface | null = null;
  #said = new Map<string, number>();
  readonly #strangers = new Set<number | null>();
  #end: (code: ExitCode) => void = () => {};

  constructor(of: AccessOf, held: Held) {
    this.#of = of;
    this.#held = held;
    this.#countdown.set(held.grant.secondsLeft);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#watch = new AccessWatch(of, held, this.#countdown, {
      tick: () => this.#tick(),
      told: (told) => this.#told(told),
      unreachable: () => this.#away(),
      over: (why) => this.#over(why),
      loginOver: (fault) => this.#loginOver(fault),
    });
  }

  /**
   * @param wanted - undefined: the usual port of the service, or a free one when somebody has that; 0: a free one
   * @param folder - where a socket takes the place of the port
   */
  async open(wanted: number | undefined, folder?: string): Promise<number> {
    if (folder === undefined && ownerOf === null) this.#line.say(ANYBODY);
    try {
      this.#port = await this.#listen(wanted ?? usualPort(this.#of.service), folder);
    } catch (thrown) {
      if (wanted !== undefined || folder !== undefined) {
        this.#watch.stop();
        throw thrown;
      }
      this.#port = await this.#listen(0);
      this.#line.say(`port ${usualPort(this.#of.service)} is taken: another one is used this time`);
    }
    return this.#port.port;
  }

  #listen(port: number, folder?: string): Promise<LocalPort> {
    const { gateway, ca, token, service, grant } = this.#of;
    const { protocol } = this.#held;
    return openLocalPort({
      port,
      socket: folder === undefined ? undefined : { folder, path: socketIn(folder, { service, protocol, port }) },
      open: (at) => openTunnel({ gateway, ca, token, service, grant, port: at }),
      refuse: (socket, why) => refuseLocally(this.#held.protocol, socket, why),
      events: this,
    });
  }

  /** Reads what is typed until the end, and shows from here on how much is left. */
  listenToTyping(): void {
    // The terminal itself edits lines, so Ctrl-C stays a signal.
    const terminal = createInterface({ input: process.stdin });
    this.#typing = terminal;
    const ask = async (question: string) => {
      this.#line.ask(question);
      const answer = await terminal.question('');
      this.#line.clear();
      return answer.trim();
    };
    terminal.once('close', () => this.#line.clear()); // who would answer?
    terminal.on('line', (line) => {
      this.#line.clear();
      renewalAsked(line, ask)
        .then((asked) => (asked === null ? undefined : this.#renew(asked.seconds, asked.reason)))
        .catch((thrown) => this.#line.say(`not renewed: ${messageOf(thrown)}`));
    });
  }

  async #renew(seconds: number, reason: string): Promise<void> {
    await renew(this.#of, this.#held.grant.grant, seconds, reason);
    this.#line.say('renewed; what is open stays open');
    this.#watch.askSoon();
  }

  end(code: ExitCode): void {
    this.#watch.stop();
    this.#port?.close();
    this.#typing?.close();
    this.#line.clear();
    this.#end(code);
  }

  cut(reason: string): void {
    this.#sayOnce(`the gateway ended a connection: ${reason}`);
    this.#watch.askSoon();
  }

  broken(): void {
    this.#sayOnce(
      'a connection broke off. Whether what was under way was done cannot be known from here: look before you repeat it. Nothing is sent again.',
    );
    this.#watch.askSoon();
  }

  refused(fault: DaypassError): void {
    const hint = fault.hint === undefined ? '' : ` (${fault.hint})`;
    this.#sayOnce(`a connection could not be opened: ${fault.message}${hint}`);
    this.#watch.askSoon();
  }

  stranger(uid: number | null): void {
    if (this.#strangers.has(uid)) return;
    this.#strangers.add(uid);
    const who = uid === null ? 'somebody who cannot be told' : `another account of this machine (uid ${uid})`;
    this.#line.say(`${who} tried to use your port, and was turned away. --socket opens none that others see`);
  }

  waiting({ code, message }: DaypassError): void {
    if (code === 'too_many_requests') this.#sayOnce(`${message} The connection waits.`, BETWEEN_TRIES);
    else if (code === 'shutting_down')
      this.#sayOnce('the gateway is stopping: what is new waits until it is back', BETWEEN_TRIES);
    else this.#away();
  }

  #away(): void {
    if (!this.#isAway) this.#line.say('the gateway cannot be reached; it is tried again while your access lasts');
    this.#isAway = true;
  }

  #told(held: Held): void {
    if (this.#isAway) this.#line.say('the gateway can be reached again');
    this.#isAway = false;
    const { expiresAt, until, ends, secondsLeft } = held.grant;
    const before = this.#held.grant;
    if (expiresAt !== before.expiresAt || until !== before.until)
      this.#line.say(`${endingOf(ends)} at ${until}, in ${clockFace(secondsLeft)}`);
    this.#held = held;
  }

  #tick(): void {
    const { left } = this.#countdown;
    const minutes = this.#countdown.warning();
    const { ends, window } = this.#held.grant;
    if (minutes !== null)
      this.#line.say(
        ends === 'hours_over'
          ? `${endingOf(ends)} in ${clockFace(left)}: it is for ${window}`
          : `${endingOf(ends)} in ${clockFace(left)}; r and Enter asks for more time, or daypass renew`,
      );
    if (this.#typing === null) return; // standard output, or the client's, is still to come
    const { service } = this.#of;
    const count = this.#port?.connections ?? 0;
    const open = `${count} ${count === 1 ? 'connection' : 'connections'}`;
    const away = this.#isAway ? ' · the gateway cannot be reached' : '';
    this.#line.show(`${service} as ${this.#held.grant.role} · ${clockFace(left)} left · ${open}${away} · r: renew `);
  }

  #over(why: string): void {
    this.#line.say(`your access to ${this.#of.service} is over: ${why}`);
    this.end(6);
  }

  #loginOver(fault: DaypassError): void {
    this.#line.say(`${fault.message} ${fault.hint ?? ''}`);
    this.end(5);
  }

  /** A client with many connections loses them all at once. @param within - how long after the last time it is not news, milliseconds */
  #sayOnce(text: string, within = 2_000): void {
    const now = performance.now();
    if (now - (this.#said.get(text) ?? Number.NEGATIVE_INFINITY) > within) this.#line.say(text);
    this.#said.set(text, now);
  }
}

/** Longer than it is from one try of a connection that waits to the next, milliseconds. */
const BETWEEN_TRIES = 20_000;

/** Where nobody says who comes. */
const ANYBODY =
  'whoever has an account on this machine can use the port while it is open, as you. --socket <folder> opens a socket for you alone';

function endingOf(ends: Held['grant']['ends']): string {
  return ends === 'hours_over' ? 'the hours of your access end' : 'your access ends';
}

function refuseLocally(protocol: string, socket: Socket, why: string): void {
  if (protocol === 'postgres')
    socket.end(errorResponse({ severity: 'FATAL', sqlstate: '08006', message: `Daypass: ${why}` }));
  else {
    const body = `Daypass: ${why}\n`;
    const head = `content-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}`;
    socket.end(`HTTP/1.1 502 Bad Gateway\r\n${head}\r\nconnection: close\r\n\r\n${body}`);
  }
}
