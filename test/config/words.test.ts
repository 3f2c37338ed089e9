import t from 'tap';
import { loadConfig } from '../../src/config/load.js';
import { loadProtocols } from '../../src/protocols.js';
import { writeConfig } from './fixture.js';

const FRAME = 'service: web\nlane: production\nowner: group:leads\ngrants: { max_duration: 8h, max_renewals: 2 }\n';
const WEB = `${FRAME}protocol: http\nupstream: { url: "http://127.0.0.1:1" }\n`;
const DATABASE = `${FRAME}protocol: postgres\nupstream: { address: "db:1", database: x, user: y, password: { env: PW } }\n`;

const web = (rule: string) => `${WEB}roles: { viewer: { allow: [${rule}] } }\n`;
const rule = (condition: string) => web(`{ route: GET /x, ${condition} }`);
const database = (role: string) => `${DATABASE}roles: { reader: { ${role} } }\n`;
const requestable = (access: string) => `${web('GET /x')}access: { ${access} }\n`;

const REACHES =
  'lower-case, and one that reaches the service as the client sent it: not content-…, cookie, accept-encoding, host, authorization, connection, x-forwarded-…';
const ANY = 'allow: [{ statements: [any] }]';

/** What stands in a file, what is wrong with it, and what to write in its place. */
const faults: readonly (readonly [text: string, message: string, hint?: string])[] = [
  [rule('headers: { content-type: application/json }'), 'a rule cannot name the header "content-type"', REACHES],
  [rule('headers: { Accept: a }'), 'a rule cannot name the header "Accept"', REACHES],
  [rule('query: { q: { one_of: open } }'), 'expected a list, found string', 'write [open]'],
  [rule('query: { q: { one_of: [] } }'), 'too few entries: at least 1'],
  [rule('query: { q: { type: innt } }'), 'expected one of "int"|"uuid"|"slug"|"date"', 'did you mean "int"?'],
  [rule('query: { q: { type: int, optinal: true } }'), 'unknown key "optinal"', 'did you mean "optional"?'],
  [rule('query: { q: { absent: false } }'), 'expected true'],
  [web('get /page'), 'not a route: "get /page"', 'a method in capitals, one blank and a path: GET /orders/**'],
  [requestable('pre_approved: viewer'), 'expected a list, found string', 'write [viewer]'],
  [requestable('task: { min_length: 0 }'), 'too small: at least 1'],
  [database(`search_path: public, ${ANY}`), 'expected a list, found string', 'write [public]'],
  [database('allow: [{ statements: any }]'), 'expected a list, found string', 'write [any]'],
  [database('allow: { statements: [any] }'), 'expected a list, found a map', 'write [ … ]'],
  [
    database('allow: [{ statements: [selct], relations: [public.a] }]'),
    'expected one of "select"|"explain"|"show"|"copy-out"|"insert"|"update"|"delete"|"merge"|"copy-in"|"ddl"|"any"',
    'did you mean "select"?',
  ],
  [database(`max_rows: 1.5, ${ANY}`), 'expected a whole number, found number'],
  [database(`recording: { results: 5000 }, ${ANY}`), 'too large: at most 1000'],
];

t.test('what is wrong in a service’s file is said in words to mend it by, and once', async (t) => {
  const [directories, protocols] = [t.testdir({}), await loadProtocols()];
  for (const [at, [text, message, hint]] of faults.entries()) {
    const directory = writeConfig(`${directories}/${at}`, { 'services/web.yaml': text });
    const { problems } = loadConfig(directory, protocols, { PW: 'x' });
    const told = problems.map((problem) => ({ message: problem.message, hint: problem.hint }));
    t.same(told, [{ message, hint }], text);
  }
});
