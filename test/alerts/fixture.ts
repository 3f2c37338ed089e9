import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import root, { type Test } from 'tap';
import type { Channel } from '../../src/alerts/channel.js';
import { Courier } from '../../src/alerts/courier.js';
import { Outbox } from '../../src/alerts/outbox.js';
import { type Routes, spread } from '../../src/alerts/spread.js';
import { NOTICE_KINDS } from '../../src/config/notice-kinds.js';
import { openDatabase } from '../../src/recording/database.js';
import { HandClock, silent } from '../grant/fixture.js';
import { ledgerDatabase } from '../support/ledger.js';
import { portOf } from '../support/ports.js';
import { type PostAnswer, postReceiver } from '../support/post-receiver.js';
import type { Database } from '../support/postgres.js';

export interface HttpPost {
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
  readonly text: string;
}

/** Keeps what is posted; `answer` says what it answers, 204 unless given. */
export function hookReceiver(t: Test, answer?: PostAnswer) {
  const read = (text: string, headers: IncomingHttpHeaders): HttpPost => ({ headers, body: JSON.parse(text), text });
  return postReceiver(t, '/hook', read, answer);
}

export interface Mail {
  readonly to: readonly string[];
  readonly from: string;
  readonly secure: boolean;
  readonly user: string | undefined;
  readonly text: string;
}

/** A real SMTP server that keeps what is sent. */
export async function mailServer(t: Test, options: SMTPServerOptions = {}) {
  const mails: Mail[] = [];
  const server = new SMTPServer({
    ...{ authOptional: true, disabledCommands: ['STARTTLS'], disableReverseLookup: true, logger: false },
    onData: (stream, session, done) => {
      const { mailFrom, rcptTo } = session.envelope;
      let text = '';
      stream.on('data', (piece) => {
        text += String(piece);
      });
      stream.on('end', () => {
        const from = mailFrom === false || mailFrom === undefined ? '' : mailFrom.address;
        const to = rcptTo.map(({ address }) => address);
        mails.push({ to, from, secure: session.secure, user: session.user, text });
        done();
      });
    },
    ...options,
  });
  server.on('error', () => {});
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  t.teardown(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return { mails, server: { host: '127.0.0.1', port: portOf(server.server.address()) } };
}

/** Of all tests of a file: what one leaves in the outbox, the next one empties. */
let shared: Promise<Database> | null = null;

/** A ledger with an empty outbox, and gateways that carry what is in it, each with connections of its own. */
export async function startOutbox(t: Test, channels: readonly Channel['name'][]) {
  shared ??= ledgerDatabase(root);
  const database = await shared;
  await database.query('truncate daypass.notices, daypass.deliveries');
  const clock = new HandClock();
  const pool = openDatabase(database.url, { max: 4 });
  t.teardown(() => pool.end());
  const outbox = new Outbox(clock);
  const routes: Routes = new Map(channels.map((name) => [name, NOTICE_KINDS]));
  const gateway = (channel: Channel, lease = 60_000, look = 10) => {
    const own = openDatabase(database.url, { max: 2 });
    const courier = new Courier({ pool: own, channel, clock, log: silent, times: { look, lease } });
    let stopped: Promise<void> | null = null;
    const stop = () => {
      stopped ??= courier.stop().finally(() => own.end());
      return stopped;
    };
    t.teardown(stop);
    return { stop, call: () => courier.call(), retire: () => courier.retire() };
  };
  let count = 0;
  const tell = async (data: Readonly<Record<string, string>> = {}, to: object = { channels: true }) => {
    count += 1;
    await outbox.enqueue(pool, { kind: 'alert', dedupe: `alert:${count}`, data, to });
    await spread(pool, routes, clock);
  };
  return { database, pool, clock, outbox, routes, gateway, tell, deliveries: () => deliveries(database) };
}

function deliveries(database: Database) {
  return database.query(
    `select channel, recipient, state, attempts, unsure, error from daypass.deliveries order by channel, recipient, id`,
  );
}
