import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { appendAudit } from '../../src/audit/append.js';
import type { AuditEntry, AuditLine } from '../../src/audit/entry.js';
import { AuditStream } from '../../src/audit/stream.js';
import { syslogFrame, syslogMessage } from '../../src/audit/syslog.js';
import { SyslogReceiver } from '../../src/audit/syslog-link.js';
import { quiet } from '../recording/fixture.js';
import { selfSigned } from '../support/certificate.js';
import { portOf } from '../support/ports.js';
import { act, auditLog } from './fixture.js';
import { datagramReceiver, streamReceiver } from './receivers.js';

const NOW = new AbortController().signal;
const PAUSES = { look: 20, first: 20, most: 100 };

function line(over: Partial<AuditEntry> = {}): AuditLine {
  const { detail = null, ...entry } = { ...act(), ...over };
  const facts = { seq: 7, at: '2026-01-01T00:00:00.000000Z', ...entry, detail };
  const hash = Buffer.alloc(32, 0xab);
  return { seq: 7, entry: JSON.stringify(facts), hashBefore: hash, hashAfter: hash };
}

t.test('a line is a message of RFC 5424 with its facts as structured data', async (t) => {
  const hash = 'ab'.repeat(32);
  const data = `[daypass@32473 seq="7" hash="${hash}" actor="ops" via="socket" act="session.end" target="session:1" reason="looks odd" result="done"]`;
  const message = syslogMessage(line(), 'gw-1');
  const head = '<110>1 2026-01-01T00:00:00.000000Z gw-1 daypass - session.end';
  t.equal(message.slice(0, message.indexOf('\ufeff')), `${head} ${data} `);
  t.equal(JSON.parse(message.slice(message.indexOf('\ufeff') + 1)).seq, 7);
  t.match(syslogMessage(line({ result: 'refused' }), 'gw-1'), /^<108>1 /, 'a refusal is a warning');
  t.equal(syslogFrame('ü'), '2 ü', 'octets are counted, not characters');
});

t.test('nothing that was typed can end a value, a message or a line', async (t) => {
  const forged = 'x"] ok\n<110>1 - evil daypass - - - \\ \r\u0085\u2028\x1b[2J\u009b\u202e\0 ]';
  const message = syslogMessage(line({ actor: forged, reason: forged, target: forged, detail: { forged } }), 'a\nb c');
  t.notMatch(message, /[\0-\x1f\x7f-\x9f\u2028\u202e]/);
  t.match(message, /^<110>1 \S+ a\?b\?c daypass - session\.end \[daypass@32473 /);
  const data = message.slice(message.indexOf('['), message.indexOf('\ufeff'));
  // What RFC 5424 allows within a value: anything but these three, or these escaped.
  t.match(data, /^\[daypass@32473(?: \w+="(?:[^"\\\]]|\\["\\\]])*")+\] $/);
  const damaged = { ...line(), entry: 'not json\n<110>1 - evil' };
  t.notMatch(syslogMessage(damaged, 'h'), /[\0-\x1f]/);
  t.match(syslogMessage(damaged, 'h'), /^<108>1 - h daypass - unreadable \[daypass@32473 seq="7"/);
  t.match(syslogMessage(line({ act: `a b.${'c'.repeat(50)}` }), ''), / - daypass - a\?b\.c{28} \[/);
  t.match(syslogMessage(line({ reason: 'r'.repeat(900) }), 'h'), /reason="r{500}…"/, 'the whole is in the message');
});

for (const protocol of ['tcp', 'tls'] as const) {
  t.test(`lines arrive over ${protocol}, each in a frame of its own`, async (t) => {
    const pair = protocol === 'tls' ? await selfSigned() : undefined;
    const { messages, address } = await streamReceiver(t, pair);
    const syslog = new SyslogReceiver({ address, protocol, ca: pair?.cert });
    await syslog.send([line(), line({ reason: 'ü\n' }), line()], NOW);
    t.equal(messages.length, 3);
    t.match(messages[1], /reason="ü\\\\n"/);
    await t.rejects(syslog.send([line()], AbortSignal.abort()));
  });
}

t.test('a TLS receiver that nobody vouches for is told nothing', async (t) => {
  const { messages, address } = await streamReceiver(t, await selfSigned());
  await t.rejects(new SyslogReceiver({ address, protocol: 'tls', ca: undefined }).send([line()], NOW), {
    code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
  });
  const other = await selfSigned();
  await t.rejects(new SyslogReceiver({ address, protocol: 'tls', ca: other.cert }).send([line()], NOW));
  t.same(messages, []);
});

t.test('over UDP each line is a datagram; one that is too long goes without its message', async (t) => {
  const { messages, address } = await datagramReceiver(t);
  const syslog = new SyslogReceiver({ address, protocol: 'udp', ca: undefined });
  await syslog.send([line(), line({ detail: { long: 'x'.repeat(70_000) } })], NOW);
  while (messages.length < 2) await pause(10);
  t.match(messages[0], /\ufeff\{"seq":7/);
  t.match(messages[1], / result="done"\]$/);
});

t.test('a receiver that hangs, or goes without reading to the end, has not taken the lines', async (t) => {
  const deaf = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => socket.on('error', () => {}));
  const leaving = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    setTimeout(() => socket.destroy(), 100);
  });
  for (const server of [deaf, leaving]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    const address = { host: '127.0.0.1', port: portOf(server.address()) };
    const receiver = new SyslogReceiver({ address, protocol: 'tcp', ca: undefined }, 500);
    await t.rejects(receiver.send([line()], NOW));
  }
});

t.test('what a receiver resets is sent again until it has been taken', async (t) => {
  const { database, pool } = await auditLog(t, 3);
  const receiver = await streamReceiver(t, undefined, (connection) => connection <= 2);
  const target = { address: receiver.address, protocol: 'tcp', ca: undefined } as const;
  const stream = new AuditStream({ pool, receiver: new SyslogReceiver(target), log: quiet, pauses: PAUSES });
  t.teardown(() => stream.stop());
  while (receiver.messages.length < 3) await pause(10);
  await appendAudit(pool, act({ target: 'session:4' }));
  while (receiver.messages.length < 4) await pause(10);
  t.same(
    receiver.messages.map((message) => / seq="(\d+)"/.exec(message)?.[1]),
    ['1', '2', '3', '4'],
  );
  await cursorAt(t, database, 4);
});

async function cursorAt(t: Test, database: { query(sql: string): Promise<Record<string, unknown>[]> }, seq: number) {
  for (;;) {
    const [row] = await database.query(`select seq::int from daypass.audit_cursors where receiver = 'syslog'`);
    if (row?.seq === seq) return t.pass('the cursor is there');
    await pause(20);
  }
}
