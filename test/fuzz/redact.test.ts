/** A credential within texts within texts, of forms at random, whole or cut off: none of it is left, and nothing beside it is lost. */
import t from 'tap';
import { redactBody, redactQuery } from '../../src/http/record/redact.js';
import { cases, type Random } from './random.js';

const SECONDS = 2;
const SECRET = 'C4NARYxyz7';
/** So much of it is too much: behind `Bearer` fewer characters are a word like others. */
const TRACE = /C4NARYxy/;
const NAMES = [
  'password',
  'access_token',
  'clientSecret',
  'session_id',
  'api-key',
  'user[password]',
  'Authorization',
  'otp',
];
const TYPES = [
  'application/json',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=q',
];

const HOLDERS: readonly ((name: string) => string)[] = [
  (name) => JSON.stringify({ [name]: SECRET }),
  (name) => JSON.stringify({ a: 1, [name]: [SECRET, { b: SECRET }], c: 2 }, null, 2),
  (name) => `{"x":"y\\\\","${name}":"${SECRET}"}`,
  (name) => `a=1&${encodeURIComponent(name)}=${SECRET}&b=2`,
  (name) => `https://h/x?${encodeURIComponent(name)}=${SECRET}&b=1`,
  (name) => `mutation{login(${name.replace(/\W/g, '_')}:"${SECRET}"){id}}`,
  () => `https://u:${SECRET}@h/x`,
  () => `X-Any: Bearer ${SECRET}`,
  () => `<password>${SECRET}</password>`,
  () => `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.${SECRET}`,
  () => `-----BEGIN PRIVATE KEY-----\n${SECRET}\n-----END PRIVATE KEY-----`,
];

const WRAPPINGS: readonly ((text: string, random: Random) => string)[] = [
  (text) => JSON.stringify({ d: text }),
  (text) => JSON.stringify([1, text, { z: text }]),
  (text) => JSON.stringify({ d: text }).replaceAll('/', '\\/'),
  (text, random) =>
    JSON.stringify({ d: text }).replace(/[a-z]/g, (letter) => (random.chance(0.1) ? escaped(letter) : letter)),
  (text) => `next=${encodeURIComponent(text)}&p=2`,
  (text) => `data: ${text}\n\n`,
  (text) => `before "quoted" ${text} after`,
];

function escaped(letter: string): string {
  return `\\u00${letter.charCodeAt(0).toString(16)}`;
}

t.test('D27: nothing of a credential is left, however it is wrapped and wherever the text ends', async (t) => {
  for await (const some of cases(SECONDS, 50)) {
    for (const { name, random } of some) {
      let text = random.pick(HOLDERS)(random.pick(NAMES));
      for (let left = random.below(4); left > 0; left -= 1) text = random.pick(WRAPPINGS)(text, random);
      const isWhole = random.chance(0.6);
      const sample = isWhole ? text : text.slice(0, random.below(text.length));
      const safe = redactBody(sample, random.pick(TYPES), isWhole);
      if (TRACE.test(safe)) t.fail(name, { sample, safe });
      const query = `?x=${encodeURIComponent(sample)}&page=2`;
      const shown = redactQuery(query);
      if (TRACE.test(shown) || !shown.startsWith('?x=') || !shown.endsWith('&page=2')) t.fail(name, { query, shown });
    }
  }
});
