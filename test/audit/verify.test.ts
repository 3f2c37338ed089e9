import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { appendAudit } from '../../src/audit/append.js';
import { verifyExport } from '../../src/audit/export.js';
import { openHead, readKeySet, START, signHead } from '../../src/audit/head.js';
import type { AuditFault } from '../../src/audit/verify.js';
import { publicKeySet } from '../../src/grant/assertion.js';
import { keyRing, readSigningKey } from '../../src/grant/keys.js';
import { TokenVerifier } from '../../src/grant/verifier.js';
import { act, asOwner, auditLog, exported, KEY, KEYS } from './fixture.js';

const STRANGER = readSigningKey(
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
);
const PUBLISHED = readKeySet(await publicKeySet(KEYS));

/** The chain from a line on, computed anew as the gateway would: what a forger who knows this code does. */
const RECHAIN = `
  do $$ declare l record; h bytea := sha256('daypass/audit/1\\012'::bytea); begin
    for l in select seq, entry from daypass.audit order by seq loop
      update daypass.audit set hash_before = h, hash_after = sha256(h || convert_to(l.entry, 'UTF8')) where seq = l.seq;
      h := sha256(h || convert_to(l.entry, 'UTF8'));
    end loop;
  end $$`;

const SWAP = `
  with o as (select * from daypass.audit where seq in (3, 4))
  update daypass.audit a set entry = o.entry, hash_after = o.hash_after, target = o.target, at = o.at
  from o where a.seq in (3, 4) and o.seq = 7 - a.seq`;

/** What somebody does who owns the database, and what `verify` must call it. Seven lines; a head was noted at the sixth. */
const TAMPERINGS: readonly { name: string; sql: string; expected: readonly [number, AuditFault][] }[] = [
  {
    name: 'who did it is edited',
    sql: `update daypass.audit set entry = replace(entry, '"ops"', '"eve"'), actor = 'eve' where seq = 3`,
    expected: [[3, 'changed']],
  },
  {
    name: 'only what is searched is edited',
    sql: `update daypass.audit set actor = 'eve', reason = null where seq = 3`,
    expected: [[3, 'columns_changed']],
  },
  { name: 'the first line is deleted', sql: 'delete from daypass.audit where seq = 1', expected: [[1, 'missing']] },
  {
    name: 'lines in the middle are deleted',
    sql: 'delete from daypass.audit where seq in (3, 4)',
    expected: [[3, 'missing']],
  },
  {
    name: 'a line is deleted and the others are renumbered',
    sql: `delete from daypass.audit where seq = 3; update daypass.audit set seq = seq - 1 where seq > 3`,
    expected: [
      [3, 'not_continued'],
      [3, 'moved'],
      [4, 'moved'],
      [5, 'moved'],
      [6, 'rewritten'],
      [6, 'moved'],
    ],
  },
  {
    name: 'two lines are swapped',
    sql: SWAP,
    expected: [
      [3, 'changed'],
      [3, 'moved'],
      [4, 'changed'],
      [4, 'moved'],
      [4, 'not_continued'],
      [5, 'not_continued'],
    ],
  },
  {
    name: 'the end is cut off',
    sql: 'delete from daypass.audit where seq > 4',
    expected: [[5, 'truncated']],
  },
  { name: 'everything is deleted', sql: 'delete from daypass.audit', expected: [[1, 'truncated']] },
  {
    name: 'a line is edited and the chain is computed anew',
    sql: `update daypass.audit set entry = replace(entry, '"ops"', '"eve"'), actor = 'eve' where seq = 3; ${RECHAIN}`,
    expected: [[6, 'rewritten']],
  },
  {
    name: 'an entry is made unreadable',
    sql: `update daypass.audit set entry = 'nonsense' where seq = 7; ${RECHAIN}`,
    expected: [[7, 'unreadable']],
  },
];

for (const { name, sql, expected } of TAMPERINGS) {
  t.test(`it is found when ${name}, online and in an export`, async (t) => {
    const { database, pool, log } = await auditLog(t, 6);
    const noted = await log.head();
    await appendAudit(pool, act({ target: 'session:7' }));
    t.match(await log.verify(noted), { entries: 7, findings: [] });
    await asOwner(database, sql);
    const order = ([a, x]: readonly [number, string], [b, y]: readonly [number, string]) => a - b || x.localeCompare(y);
    const found = (await log.verify(noted)).findings.map(({ seq, fault }) => [seq, fault] as const);
    t.same([...found].sort(order), [...expected].sort(order));
    const offline = await verifyExport(await exported(log), PUBLISHED, noted);
    const inExport = offline.findings.map(({ seq, fault }) => [seq, fault] as const);
    const told = expected.filter(([, fault]) => fault !== 'columns_changed');
    t.same([...inExport].sort(order), [...told].sort(order), 'columns are not in an export');
  });
}

t.test('an export verifies offline by the published keys alone', async (t) => {
  const { log } = await auditLog(t, 5);
  const lines = await exported(log);
  t.equal(lines.length, 6);
  t.match(await verifyExport(lines, PUBLISHED), { entries: 5, findings: [], last: { seq: 5 } });
  t.match(await verifyExport(lines, keyRing(STRANGER)), { findings: [{ fault: 'head_forged' }] });
});

t.test('an empty log has a head and an export too', async (t) => {
  const { log } = await auditLog(t);
  t.match(await log.verify(await log.head()), { entries: 0, findings: [], last: { seq: 0 } });
  t.match(await verifyExport(await exported(log), PUBLISHED), { entries: 0, findings: [] });
});

t.test('a file that was changed after the export is found', async (t) => {
  const { log } = await auditLog(t, 5);
  const lines = await exported(log);
  const faults = async (changed: string[]) =>
    (await verifyExport(changed, PUBLISHED)).findings.map(({ seq, fault }) => `${seq} ${fault}`);
  const edited = lines.map((line, n) => (n === 1 ? line.replace('ops', 'eve') : line));
  t.same(await faults(edited), ['2 changed']);
  t.same(await faults(lines.filter((_, n) => n !== 1)), ['2 missing']);
  t.same(await faults(lines.filter((_, n) => n !== 4)), ['5 truncated'], 'the last line is gone, the head is there');
  t.same(await faults(lines.slice(0, 3)), ['3 no_head'], 'what breaks off does not look whole');
  t.same(await faults([...lines, lines[4] ?? '']), ['5 moved', '5 no_head'], 'a head in the middle is no end');
  t.same(await faults([...lines.slice(0, 5), lines[5]?.replace(/.{9}"}$/, 'AAAAAAAAA"}') ?? '']), ['5 head_forged']);
  t.same(await faults(['nonsense', '[]', ...lines]), ['0 unreadable', '0 unreadable']);
  const [first = '', second = '', ...rest] = lines;
  t.same(await faults([second, first, ...rest]), ['1 missing', '1 moved', '2 missing']);
});

t.test('a noted head is believed only when a key of the gateway signed it as one', async (t) => {
  const { log } = await auditLog(t, 1);
  t.match(await openHead(await signHead(KEY, START, 0), KEYS), { seq: 0 });
  const forged = await signHead(STRANGER, START, 0);
  t.equal(await openHead(forged, KEYS), null);
  const [head, sig] = (await signHead(KEY, START, 0)).split(/\.(?=[^.]*$)/);
  t.equal(await openHead(`${head}.\n${sig}`, KEYS), null, 'a head has one text');
  t.match(await log.verify(forged), { findings: [{ fault: 'head_forged' }] });
  t.match(await verifyExport(await exported(log), PUBLISHED, forged), { findings: [{ fault: 'head_forged' }] });
  for (const nonsense of ['', 'a.b.c', 'x'.repeat(5_000)]) t.equal(await openHead(nonsense, KEYS), null);
  t.equal(await new TokenVerifier(KEYS).open(await log.head()), null, 'a head is no grant');
});

t.test('a set of keys that are none of the gateway is refused', async (t) => {
  for (const text of ['', '{}', '{"keys":[]}', '{"keys":[{"kty":"RSA","n":"x","e":"AQAB"}]}'])
    t.throws(() => readKeySet(text), { code: 'key_set_invalid' }, text);
});
