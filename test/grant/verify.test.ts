import { createHmac, type KeyObject, sign as signBytes } from 'node:crypto';
import t from 'tap';
import { keyRing } from '../../src/grant/keys.js';
import { mintToken } from '../../src/grant/mint.js';
import { TokenVerifier } from '../../src/grant/verifier.js';
import { MAX_TOKEN_LENGTH } from '../../src/grant/verify.js';
import { CLAIMS, signingKey } from './fixture.js';

const key = signingKey();
const ring = keyRing(key);
const HEADER = { alg: 'EdDSA', typ: 'daypass-grant+jwt', kid: key.kid };
const IN_FORCE = 1_200_000;
const expected = { id: CLAIMS.jti, service: 'orders-db' };

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signs anything at all, as the holder of the key could by mistake. */
function forge(header: object, claims: unknown, by: KeyObject = key.privateKey): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signBytes(null, Buffer.from(input), by).toString('base64url')}`;
}

const verify = (token: string, now = IN_FORCE) => new TokenVerifier(ring).verify(token, expected, now);

t.test('a minted token says what it was given', async (t) => {
  const token = await mintToken(CLAIMS, key);
  const check = await verify(token);
  t.match(check, {
    ok: true,
    grant: {
      ...{
        id: CLAIMS.jti,
        service: 'orders-db',
        principal: 'alice',
        role: 'reader',
        sponsor: 'dana',
        renewals: 0,
        token,
      },
      ...{ issuedAt: 1_000_000, notBefore: 1_000_000, expiresAt: 1_600_000, reason: 'look at order 7' },
      ...{ lane: 'production', owner: 'group:leads' },
    },
  });
  t.equal(check.ok && Buffer.from(check.grant.confirmation).toString('base64url'), CLAIMS.cnf['dp:s256']);
});

t.test('a grant is in force from its first millisecond to the last before its end', async (t) => {
  const token = await mintToken(CLAIMS, key);
  const reasonAt = async (now: number) => {
    const check = await verify(token, now);
    return check.ok ? 'in force' : check.reason;
  };
  t.equal(await reasonAt(999_999), 'not_yet');
  t.equal(await reasonAt(1_000_000), 'in force');
  t.equal(await reasonAt(1_599_999), 'in force');
  t.equal(await reasonAt(1_599_999.9), 'in force');
  t.equal(await reasonAt(1_600_000), 'expired');
  t.equal(await reasonAt(Number.POSITIVE_INFINITY), 'expired');
  t.equal(await reasonAt(Number.NaN), 'expired');
});

t.test('B9: only the pinned algorithm is accepted', async (t) => {
  const none = `${encode({ ...HEADER, alg: 'none' })}.${encode(CLAIMS)}.`;
  t.match(await verify(none), { ok: false, reason: 'malformed' });
  const input = `${encode({ ...HEADER, alg: 'HS256' })}.${encode(CLAIMS)}`;
  const spki = key.publicKey.export({ type: 'spki', format: 'pem' });
  const raw = Buffer.from(String(key.publicKey.export({ format: 'jwk' }).x), 'base64url');
  for (const secret of [spki, raw]) {
    const hmac = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
    t.match(await verify(hmac), { ok: false, reason: 'malformed' });
  }
  for (const alg of ['ES256', 'RS256', 'Ed25519', 'eddsa', '', null, ['EdDSA']]) {
    t.match(await verify(forge({ ...HEADER, alg }, CLAIMS)), { ok: false, reason: 'malformed' }, JSON.stringify(alg));
  }
});

t.test('B9: the key comes from the local map and nowhere else', async (t) => {
  const other = signingKey();
  const jwk = other.publicKey.export({ format: 'jwk' });
  const kids = [
    '../../etc/passwd',
    "' or 1=1 --",
    '',
    '__proto__',
    'constructor',
    other.kid,
    null,
    7,
    [key.kid],
    { kid: key.kid },
  ];
  for (const kid of kids)
    t.match(await verify(forge({ ...HEADER, kid }, CLAIMS)), { ok: false, reason: 'malformed' }, JSON.stringify(kid));
  t.match(await verify(forge(HEADER, CLAIMS, other.privateKey)), { ok: false }, 'another key under our kid');
  const extras = [{ jku: 'http://127.0.0.1/k' }, { x5u: 'http://127.0.0.1/x' }, { jwk }, { x5c: ['AA'] }];
  for (const extra of extras) {
    t.match(await verify(forge({ ...HEADER, ...extra }, CLAIMS)), { ok: false }, JSON.stringify(extra));
    t.match(await verify(forge({ ...HEADER, ...extra }, CLAIMS, other.privateKey)), { ok: false });
  }
});

t.test('B9: a critical header, another type and detached content are refused', async (t) => {
  const { typ: _, ...untyped } = HEADER;
  const headers = [
    { ...HEADER, crit: ['exp'], exp: 1 },
    { ...HEADER, crit: [] },
    { ...HEADER, b64: false, crit: ['b64'] },
    { ...HEADER, typ: 'JWT' },
    { ...HEADER, typ: 'daypass-assertion+jwt' },
    untyped,
  ];
  for (const header of headers) t.match(await verify(forge(header, CLAIMS)), { ok: false, reason: 'malformed' });
});

t.test('B9: times are whole seconds, present, and in order', async (t) => {
  for (const claim of ['exp', 'nbf', 'iat'] as const) {
    const { [claim]: _, ...without } = CLAIMS;
    t.match(await verify(forge(HEADER, without)), { ok: false, reason: 'malformed' }, `${claim} missing`);
    for (const value of ['1600', 1e99, -1, 1200.5, null, true, [1600], Number.MAX_SAFE_INTEGER]) {
      t.match(
        await verify(forge(HEADER, { ...CLAIMS, [claim]: value })),
        { ok: false, reason: 'malformed' },
        `${claim} ${value}`,
      );
    }
  }
  t.match(await verify(forge(HEADER, { ...CLAIMS, nbf: 1_600 })), { ok: false, reason: 'malformed' });
});

t.test('B9: a grant for another service, another id or from another issuer is refused', async (t) => {
  t.match(await verify(forge(HEADER, { ...CLAIMS, aud: 'orders-web' })), { ok: false, reason: 'wrong_service' });
  t.match(await verify(forge(HEADER, { ...CLAIMS, aud: ['orders-db'] })), { ok: false, reason: 'malformed' });
  t.match(await verify(forge(HEADER, { ...CLAIMS, iss: 'elsewhere' })), { ok: false, reason: 'malformed' });
  t.match(await verify(forge(HEADER, { ...CLAIMS, jti: 'abcdefghijABCDEFGHIJ13' })), {
    ok: false,
    reason: 'malformed',
  });
  t.match(await verify(forge(HEADER, { ...CLAIMS, jti: '../../x' })), { ok: false, reason: 'malformed' });
});

t.test('B9: a claim this code does not know may narrow the grant, so the token is refused', async (t) => {
  t.match(await verify(forge(HEADER, { ...CLAIMS, scope: 'public.orders' })), { ok: false, reason: 'malformed' });
  t.match(await verify(forge(HEADER, { ...CLAIMS, cnf: { ...CLAIMS.cnf, jkt: 'x' } })), {
    ok: false,
    reason: 'malformed',
  });
  t.match(await verify(forge(HEADER, { ...CLAIMS, cnf: {} })), { ok: false, reason: 'malformed' });
});

t.test('B9: what is too long, cut, changed or no token at all is refused', async (t) => {
  const token = await mintToken(CLAIMS, key);
  const [head = '', body = '', signature = ''] = token.split('.');
  const widened = `${head}.${encode({ ...CLAIMS, role: 'order-editor' })}.${signature}`;
  const long = forge(HEADER, { ...CLAIMS, rsn: 'x'.repeat(MAX_TOKEN_LENGTH) });
  const bad = [
    '',
    '.',
    '..',
    '...',
    head,
    `${head}.${body}`,
    `${head}.${body}.`,
    `${token}.`,
    `${token}.${body}`,
    widened,
    long,
  ];
  const odd = [
    ` ${token}`,
    `${token}\n`,
    token.slice(0, -2),
    `${head}..${signature}`,
    `e30.${body}.${signature}`,
    'null.null.null',
  ];
  for (const text of [...bad, ...odd])
    t.match(await verify(text), { ok: false, reason: 'malformed' }, text.slice(0, 40));
});

t.test('a token verified before is still judged by the time, the id and the service of each question', async (t) => {
  const verifier = new TokenVerifier(ring, 2);
  const token = await mintToken(CLAIMS, key);
  t.match(await verifier.verify(token, expected, IN_FORCE), { ok: true });
  t.match(await verifier.verify(token, expected, 1_600_000), { ok: false, reason: 'expired' });
  t.match(await verifier.verify(token, { id: CLAIMS.jti, service: 'x' }, IN_FORCE), {
    ok: false,
    reason: 'wrong_service',
  });
  t.match(await verifier.verify(token, { id: 'abcdefghijABCDEFGHIJ13' }, IN_FORCE), { ok: false, reason: 'malformed' });
  const other = `${token.slice(0, -4)}${token.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`;
  t.match(await verifier.verify(other, expected, IN_FORCE), { ok: false, reason: 'malformed' });
});

t.test('the memory of verified tokens is bounded and forgets the one used longest ago', async (t) => {
  const verifier = new TokenVerifier(ring, 2);
  const tokens = await Promise.all([1, 2, 3].map((rnw) => mintToken({ ...CLAIMS, rnw }, key)));
  const [one = '', two = '', three = ''] = tokens;
  const first = await verifier.open(one);
  const second = await verifier.open(two);
  t.equal(await verifier.open(one), first, 'the same object: it was remembered');
  await verifier.open(three);
  t.equal(await verifier.open(one), first);
  t.not(await verifier.open(two), second, 'read anew');
});

t.test('a grant that is remembered keeps no more memory than it takes', async (t) => {
  const check = await verify(await mintToken(CLAIMS, key));
  t.equal(check.ok && check.grant.confirmation.buffer.byteLength, 32);
});

t.test('what a grant may leave unsaid must be well-formed where it is said, and is read as it is signed', async (t) => {
  const uuid = '01990000-0000-7000-8000-000000000001';
  const said = { grp: ['a', 'b'], req: uuid, nda: uuid, win: 'Mon-Sun 00:00-24:00 UTC', only: ['show'] };
  t.match(await verify(forge(HEADER, { ...CLAIMS, ...said })), {
    ok: true,
    grant: { groups: ['a', 'b'], request: uuid, nda: uuid, window: said.win, only: ['show'] },
  });
  t.match(await verify(forge(HEADER, CLAIMS)), {
    ok: true,
    grant: { groups: [], request: null, nda: null, window: null, only: null },
  });
  const wrong: readonly object[] = [
    ...[{ grp: 'a' }, { grp: [''] }, { grp: ['a'.repeat(129)] }, { grp: new Array(65).fill('a') }, { grp: null }],
    ...[
      { req: 'REQ-1' },
      { req: null },
      { nda: 7 },
      { win: 'always' },
      { win: 'Mon 09:00-10:00 Nowhere/Land' },
      { win: '' },
    ],
    ...[{ only: [] }, { only: 'show' }, { only: [''] }, { only: [7] }, { only: null }, { also: ['show'] }],
  ];
  for (const claim of wrong) {
    const text = JSON.stringify(claim).slice(0, 60);
    t.match(await verify(forge(HEADER, { ...CLAIMS, ...claim })), { ok: false, reason: 'malformed' }, text);
  }
  t.match(await verify(forge(HEADER, { ...CLAIMS, win: 'Fri 00:00-00:01 UTC' })), {
    ok: false,
    reason: 'outside_hours',
  });
});
