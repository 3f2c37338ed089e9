import { randomBytes } from 'node:crypto';
import t from 'tap';
import {
  confirmationOf,
  formatHandle,
  isGrantId,
  mintId,
  mintSecret,
  parseHandle,
  secretMatches,
} from '../../src/grant/handle.js';

t.test('a minted handle is taken apart into what it was made of', async (t) => {
  const handle = { id: mintId(), secret: mintSecret() };
  const text = formatHandle(handle);
  t.match(text, /^dp_[0-9A-Za-z]{22}_[0-9A-Za-z]{43}$/);
  t.ok(text.length < 100);
  t.same(parseHandle(text), handle);
  t.ok(isGrantId(handle.id));
});

t.test('anything but the exact form is no handle', async (t) => {
  const good = formatHandle({ id: mintId(), secret: mintSecret() });
  const bad = [
    '',
    'dp_',
    `${good}x`,
    `x${good}`,
    ` ${good}`,
    `${good}\n`,
    good.slice(0, -1),
    good.replace('dp_', 'DP_'),
  ];
  const odd = [
    good.replace(/_/g, '-'),
    `${good.slice(0, -1)}\0`,
    `${good.slice(0, -1)}é`,
    `${good}_${good}`,
    good.repeat(1000),
  ];
  for (const text of [...bad, ...odd]) t.equal(parseHandle(text), null, JSON.stringify(text.slice(0, 90)));
});

t.test('only the secret itself matches its grant', async (t) => {
  const secret = mintSecret();
  const grant = { confirmation: confirmationOf(secret) };
  t.ok(secretMatches(grant, secret));
  for (const other of ['', mintSecret(), `${secret}a`, secret.slice(1)]) t.notOk(secretMatches(grant, other));
  t.notOk(secretMatches({ confirmation: new Uint8Array() }, secret));
  t.notOk(secretMatches({ confirmation: randomBytes(31) }, secret));
});

t.test('ids and secrets do not repeat', async (t) => {
  const minted = new Set(
    Array.from({ length: 1000 }, () => mintId()).concat(Array.from({ length: 1000 }, () => mintSecret())),
  );
  t.equal(minted.size, 2000);
});
