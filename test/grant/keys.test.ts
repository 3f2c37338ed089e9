import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import t from 'tap';
import { generateSigningKey, keyRing, readSigningKey, readVerificationKey } from '../../src/grant/keys.js';

t.test('a generated key is kept for its owner alone and read back', async (t) => {
  const path = join(t.testdir(), 'grant.pem');
  const pem = await generateSigningKey(path);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(readFileSync(path, 'utf8'), pem);
  t.equal(readSigningKey(pem).kid, readSigningKey(readFileSync(path, 'utf8')).kid);
});

t.test('a key that is there already is never replaced', async (t) => {
  const path = join(t.testdir({ 'grant.pem': 'mine' }), 'grant.pem');
  await t.rejects(generateSigningKey(path), { code: 'EEXIST' });
  t.equal(readFileSync(path, 'utf8'), 'mine');
});

t.test('the key id is the RFC 7638 thumbprint', async (t) => {
  const key = readSigningKey(await generateSigningKey(join(t.testdir(), 'k')));
  t.equal(key.kid, await calculateJwkThumbprint(await exportJWK(key.publicKey)));
  t.same([...keyRing(key).keys()], [key.kid]);
});

t.test('a key of another kind, a public key and no key at all are refused', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ed = generateKeyPairSync('ed25519');
  const texts = [
    rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    ed.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    '',
    'not a key',
  ];
  for (const text of texts) t.throws(() => readSigningKey(text), { code: 'signing_key_invalid' });
});

t.test('a key of before is read from its public or its private half, and only the public one is kept', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const halves = [
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  ];
  for (const text of halves) {
    const key = readVerificationKey(text);
    t.equal(key.type, 'public');
    t.ok(key.equals(publicKey));
  }
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  for (const text of [rsa.export({ type: 'spki', format: 'pem' }).toString(), '', 'not a key'])
    t.throws(() => readVerificationKey(text), { code: 'verification_key_invalid' });
});
