import t from 'tap';
import { SoughtSecret } from '../../src/config/secret.js';
import { Sightings } from '../../src/session/sightings.js';

function looking(secrets: readonly SoughtSecret[]) {
  const seen: string[] = [];
  let encoded = 0;
  const sightings = new Sightings(secrets, { seen: (name) => seen.push(name), encoded: () => (encoded += 1) });
  return { sightings, seen, encodings: () => encoded };
}

const password = new SoughtSecret('env PASSWORD', ['hunter2-hunter3']);
const token = new SoughtSecret('env TOKEN', ['aaaaaaaaaaaaab']);

t.test('a secret is seen wherever the stream is cut, and however small its pieces are', async (t) => {
  for (const text of [
    'hunter2-hunter3',
    'xhunter2-hunter3',
    'hunter2-hunter3x',
    `${'y'.repeat(40)}hunter2-hunter3zz`,
  ]) {
    for (let size = 1; size <= text.length; size += 1) {
      const { sightings, seen } = looking([password, token]);
      const stream = sightings.stream();
      for (let at = 0; at < text.length; at += size) stream.push(Buffer.from(text.slice(at, at + size)));
      t.same(seen, ['env PASSWORD'], `${text} in pieces of ${size}`);
    }
  }
});

t.test('a secret that repeats its beginning is seen across any three chunks', async (t) => {
  const text = `${'a'.repeat(30)}b`;
  for (let one = 0; one <= text.length; one += 1) {
    for (let two = one; two <= text.length; two += 1) {
      const { sightings, seen } = looking([token]);
      const stream = sightings.stream();
      for (const part of [text.slice(0, one), text.slice(one, two), text.slice(two)]) stream.push(Buffer.from(part));
      t.same(seen, ['env TOKEN'], `cut at ${one} and ${two}`);
    }
  }
});

t.test('what is no secret is not seen: not two streams together, not bytes that were overwritten', async (t) => {
  const { sightings, seen } = looking([password, token]);
  const [one, two] = [sightings.stream(), sightings.stream()];
  one.push(Buffer.from('hunter2-'));
  two.push(Buffer.from('hunter3'));
  for (const part of ['hunter2-', 'x', 'hunter3', 'aaaaaaaaaaaaa', 'a', 'c', 'b']) one.push(Buffer.from(part));
  t.same(seen, []);
});

t.test('each secret is told of once in a session, in whichever stream', async (t) => {
  const { sightings, seen } = looking([password, token]);
  sightings.stream().push(Buffer.from('hunter2-hunter3'));
  sightings.stream().push(Buffer.from('hunter2-hunter3 hunter2-hunter3'));
  sightings.text('x-leak: aaaaaaaaaaaaab');
  sightings.bytes(Buffer.from('aaaaaaaaaaaaab'));
  t.same(seen, ['env PASSWORD', 'env TOKEN']);
  t.equal(sightings.longest, 0, 'nothing is left to look for');
});

t.test('a reloaded policy is looked for from then on, also in streams that are open', async (t) => {
  const { sightings, seen } = looking([password]);
  const stream = sightings.stream();
  stream.push(Buffer.from('hunter2-hunter3 '));
  sightings.replace([password, token, new SoughtSecret('file key', ['a-much-longer-secret-than-before'])]);
  for (const part of ['aaaaaaaa', 'aaaaab']) stream.push(Buffer.from(part));
  for (const part of ['a-much-longer-', 'secret-than-', 'before']) stream.push(Buffer.from(part));
  stream.push(Buffer.from('hunter2-hunter3'));
  t.same(seen, ['env PASSWORD', 'env TOKEN', 'file key']);
});

t.test(
  'what was put in the place of a secret that was seen is told of, too, and what was not replaced is not told of again',
  async (t) => {
    const { sightings, seen } = looking([password, token]);
    sightings.text('hunter2-hunter3 aaaaaaaaaaaaab');
    const replaced = new SoughtSecret('env PASSWORD', ['hunter4-hunter5']);
    sightings.replace([replaced, new SoughtSecret('env TOKEN', ['aaaaaaaaaaaaab']), password]);
    sightings.text('hunter2-hunter3 aaaaaaaaaaaaab hunter4-hunter5 hunter4-hunter5');
    t.same(seen, ['env PASSWORD', 'env TOKEN', 'env PASSWORD']);
  },
);

t.test('a secret that is too short is not looked for, and one within another is enough', async (t) => {
  t.same(new SoughtSecret('env SHORT', ['12345', 'äö1']).forms(), []);
  const forms = new SoughtSecret('env HEADER', ['Bearer token-value', 'token-value', 'tok']).forms();
  t.same(forms.map(String), ['token-value']);
});

t.test('a secret shows its name alone to whatever prints it', async (t) => {
  t.equal(JSON.stringify(password), '{"name":"env PASSWORD"}');
  const { inspect } = await import('node:util');
  t.notMatch(inspect(password, { depth: 9, showHidden: true }), /hunter/);
});

t.test('that something encoded passed is said once, and only where something is looked for', async (t) => {
  const none = looking([]);
  none.sightings.encoded();
  t.equal(none.encodings(), 0);
  const some = looking([password]);
  some.sightings.encoded();
  some.sightings.encoded();
  t.equal(some.encodings(), 1);
});

t.test('two secrets of which one begins in the other are both seen, in pieces of any size', async (t) => {
  const [outer, inner] = [
    new SoughtSecret('env OUTER', ['abcabcabd-one']),
    new SoughtSecret('env INNER', ['abcabd-two']),
  ];
  for (let size = 1; size <= 12; size += 1) {
    const { sightings, seen } = looking([outer, inner]);
    const stream = sightings.stream();
    const text = 'abcabcabcabd-two and abcabcabcabd-one';
    for (let at = 0; at < text.length; at += size) stream.push(Buffer.from(text.slice(at, at + size)));
    t.same(seen, ['env INNER', 'env OUTER'], `in pieces of ${size}`);
  }
});

t.test('whatever its bytes are, a secret is seen: the rare one in front, behind, everywhere or nowhere', async (t) => {
  for (const value of [
    '!aaaaaa',
    'aaaaaa!',
    '!!!!!!',
    'aaaaaa',
    'aaa!aaa',
    'äöüß',
    '\u{1f511}\u{1f511}',
    'Z'.repeat(500),
  ]) {
    const { sightings, seen } = looking([new SoughtSecret('it', [value])]);
    const stream = sightings.stream();
    for (const byte of Buffer.from(`a!Z${value}`)) stream.push(Buffer.of(byte));
    t.same(seen, ['it'], value.slice(0, 20));
  }
});
