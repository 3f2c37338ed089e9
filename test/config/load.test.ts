import { createHash } from 'node:crypto';
import { join, relative } from 'node:path';
import t from 'tap';
import { alertsSchema } from '../../src/config/alerts.js';
import { readDocument } from '../../src/config/document.js';
import { type LoadedConfig, loadConfig } from '../../src/config/load.js';
import { SoughtSecret } from '../../src/config/secret.js';
import { ENV, GATEWAY, letters, SERVICE, writeConfig } from './fixture.js';

/** Seconds. */
const DAY = 86_400;

type Files = Readonly<Record<string, string>>;

function load(directory: string, files: Files, env: Files = ENV): LoadedConfig {
  return loadConfig(writeConfig(directory, files), [letters], env);
}

/** Problems as `file:line:column message | hint`, the file relative to the configuration. */
function told(directory: string, loaded: LoadedConfig): string[] {
  return loaded.problems.map(({ file, line, column, message, hint }) => {
    const place = `${relative(directory, file)}:${line}:${column} ${message}`;
    return hint === undefined ? place : `${place} | ${hint}`;
  });
}

/** What is wrong with the shipped fixture after one edit. */
function afterEdit(directory: string, from: string, to: string): string[] {
  return told(directory, load(directory, { 'services/letters-a.yaml': SERVICE.replace(from, to) }));
}

t.test('a configuration without fault is loaded, compiled and resolved', async (t) => {
  const loaded = load(t.testdir({}), { 'services/letters-a.yaml': SERVICE });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  t.strictSame(loaded.gateway, {
    domain: 'localhost',
    listen: {
      http: { host: '127.0.0.1', port: 8080 },
      postgres: { host: '127.0.0.1', port: 6432 },
      health: { host: '127.0.0.1', port: 9464 },
    },
    public: {},
    proxies: {},
    tls: undefined,
    database: undefined,
    redis: undefined,
    verificationKeys: [],
    signingKey: undefined,
    stalenessSeconds: 15,
    drainSeconds: 30,
    duties: { operator: [], reviewer: [] },
    oidc: undefined,
    audit: { webhook: undefined, syslog: undefined },
    notices: { slack: undefined, webhook: undefined, smtp: undefined, templates: {} },
    alerts: alertsSchema.parse({}),
    reviews: { firstSeconds: 7 * DAY, everySeconds: 30 * DAY, answerWithinSeconds: 7 * DAY },
  });
  t.ok(
    Object.values(loaded.gateway.alerts).every((rule) => typeof rule === 'number' || rule.enabled),
    'all rules are on',
  );
  const served = loaded.services.get('letters-a');
  if (served === undefined) throw new Error('not served');
  const { roles, rulesOf, roleFor, looser, ...service } = served;
  t.strictSame(service, {
    name: 'letters-a',
    protocol: 'letters',
    lane: 'production',
    owner: 'group:letter-leads',
    upstream: { address: { host: '127.0.0.1', port: 5433 }, user: 'writer', password: 'hunter2' },
    defaultRole: 'reader',
    grants: { maxDurationSeconds: 14_400, maxRenewals: 1 },
    recording: { mode: 'buffered' },
    secrets: [new SoughtSecret('env LETTERS_PASSWORD', ['hunter2'])],
    certificate: null,
    version: createHash('sha256').update(SERVICE).digest('hex'),
    text: SERVICE,
  });
  t.strictSame([...roles.keys()], ['reader', 'writer']);
  t.same(rulesOf('reader'), ['allow a', 'allow b']);
  t.same(rulesOf('__proto__'), []);
  t.equal(roleFor('reader', null), roles.get('reader'));
  t.match(roleFor('writer', ['allow c', 'allow z']), { allow: new Set(['c']) }, 'of what it has, and nothing else');
  t.equal(roleFor('gone', ['allow a']), undefined);
  t.same(looser('reader', 'writer'), []);
  for (const [role, than] of [
    ['gone', 'writer'],
    ['reader', 'gone'],
  ] as const)
    t.equal(looser(role, than).length, 1);
});

t.test('a role that extends another has the rules of both, and the base keeps its own', async (t) => {
  const loaded = load(t.testdir({}), { 'services/letters-a.yaml': SERVICE });
  const roles = loaded.ok ? loaded.services.get('letters-a')?.roles : undefined;
  t.match(roles?.get('reader'), { allow: new Set(['a', 'b']) });
  t.match(roles?.get('writer'), { allow: new Set(['a', 'b', 'c']) });
});

t.test(
  'the secrets of a service have the names its own file gives them, and only what is injected is among them',
  async (t) => {
    const other = SERVICE.replace('letters-a', 'letters-b').replace('LETTERS_PASSWORD', 'OTHER_NAME');
    const files = { 'services/letters-a.yaml': SERVICE, 'services/letters-b.yaml': other };
    const loaded = load(t.testdir({}), files, { ...ENV, OTHER_NAME: ENV.LETTERS_PASSWORD });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const secrets = [...loaded.services.values()].map((service) => service.secrets);
    t.match(secrets, [[{ name: 'env LETTERS_PASSWORD' }], [{ name: 'env OTHER_NAME' }]]);
    t.same(
      secrets.map(([secret]) => secret?.forms().map(String)),
      [['hunter2'], ['hunter2']],
    );
    t.notMatch(JSON.stringify(secrets), /hunter2/);
  },
);

t.test('the result is frozen all the way down', async (t) => {
  const loaded = load(t.testdir({}), { 'services/letters-a.yaml': SERVICE });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const service = loaded.services.get('letters-a');
  t.ok(Object.isFrozen(loaded) && Object.isFrozen(loaded.gateway.listen.http));
  t.ok(Object.isFrozen(service) && Object.isFrozen(service?.upstream) && Object.isFrozen(service?.grants));
  for (const map of [loaded.services, service?.roles]) {
    t.ok(map instanceof Map);
    if (map instanceof Map) t.throws(() => map.set('other', {}), /frozen/);
    if (map instanceof Map) t.throws(() => map.clear(), /frozen/);
  }
  t.ok(Object.isFrozen(service?.roles.get('reader')));
  t.equal(loaded.services.size, 1);
});

const PLACE = 'services/letters-a.yaml';

const edits: readonly (readonly [string, string, string, readonly string[]])[] = [
  ['an unknown key', 'lane:', 'lanes: x\nlane:', [`${PLACE}:3:1 unknown key "lanes" | did you mean "lane"?`]],
  [
    'an unknown key far from every known one',
    '  user: writer',
    '  user: writer\n  xyzzy: 1',
    [`${PLACE}:8:3 unknown key "xyzzy" | known here: address, user, password, web`],
  ],
  [
    'an unknown key of a role',
    '    allow: [c]',
    '    alow: []\n    allow: [c]',
    [`${PLACE}:14:5 unknown key "alow" | did you mean "allow"?`],
  ],
  [
    'an unknown key inside a list',
    'allow: [c]',
    'allow: [c]\n    limits: [{ maximum: 1 }, { maximum: 2, minimum: 3 }]',
    [`${PLACE}:15:44 unknown key "minimum" | did you mean "maximum"?`],
  ],
  [
    'a misspelt extends',
    'extends: reader',
    'extend: reader',
    [`${PLACE}:13:5 unknown key "extend" | did you mean "extends"?`],
  ],
  ['a duplicate key', 'owner:', 'lane: data\nowner:', [`${PLACE}:4:1 duplicate key "lane" | keep one of them`]],
  [
    'a merge key',
    'lane:',
    '<<: {}\nlane:',
    [
      `${PLACE}:3:1 unknown key "<<" | known here: service, protocol, lane, owner, upstream, roles, grants, access, recording`,
    ],
  ],
  ['a missing key', 'lane: production\n', '', [`${PLACE}:1:1 missing key "lane"`]],
  [
    'a missing key in a map',
    '{ max_duration: 4h, max_renewals: 1 }',
    '{ max_duration: 4h }',
    [`${PLACE}:15:9 missing key "max_renewals"`],
  ],
  ['an empty value', 'lane: production', 'lane:', [`${PLACE}:3:6 expected one of "code"|"data"|"production"`]],
  [
    'a map that is none',
    'grants: { max_duration: 4h, max_renewals: 1 }',
    'grants: 4h',
    [`${PLACE}:15:9 expected a map, found string`],
  ],
  [
    'an owner that is no group',
    'group:letter-leads',
    'dana',
    [`${PLACE}:4:8 not an owner | group:<name>, for example group:payments-leads`],
  ],
  [
    'a duration without unit',
    'max_duration: 4h',
    'max_duration: 90',
    [`${PLACE}:15:25 not a duration | a whole number and a unit: 90s, 10m, 4h, 7d (ten years at most)`],
  ],
  [
    'a duration of nothing',
    'max_duration: 4h',
    'max_duration: 0s',
    [`${PLACE}:15:25 not a duration | a whole number and a unit: 90s, 10m, 4h, 7d (ten years at most)`],
  ],
  [
    'a literal secret, without repeating it',
    '{ env: LETTERS_PASSWORD }',
    'hunter3',
    [`${PLACE}:8:13 a secret is named here, never written | write { env: NAME } or { file: path }`],
  ],
  [
    'an unset secret',
    'LETTERS_PASSWORD',
    'OTHER',
    [`${PLACE}:8:13 environment variable OTHER is not set | export OTHER=…`],
  ],
  [
    'an unknown protocol',
    'protocol: letters',
    'protocol: leters',
    [`${PLACE}:2:11 unknown protocol "leters" | did you mean "letters"?`],
  ],
  [
    'an unknown role',
    'extends: reader',
    'extends: raeder',
    [`${PLACE}:13:14 unknown role "raeder" | did you mean "reader"?`],
  ],
  [
    'roles in a circle, which a third only leads into',
    '    allow: [a, b]',
    '    extends: writer\n    allow: [a, b]\n  third:\n    extends: writer\n    allow: []',
    [
      `${PLACE}:11:14 the role extends itself: reader → writer → reader | a chain of roles must end`,
      `${PLACE}:17:14 the role extends itself: writer → reader → writer | a chain of roles must end`,
    ],
  ],
  [
    'no role',
    SERVICE.slice(SERVICE.indexOf('roles:'), SERVICE.indexOf('grants:')),
    'roles: {}\n',
    [`${PLACE}:9:8 no role | the first role is the read-only default`],
  ],
  [
    'a role with a bad name',
    '  writer:',
    '  Writer:',
    [`${PLACE}:12:3 not a name | a lower-case letter, then up to 62 of a-z, 0-9 and -`],
  ],
  [
    'what the protocol finds in a role',
    'allow: [c]',
    'allow: [c, dd]',
    [`${PLACE}:14:16 not a letter: dd | one letter`],
  ],
  [
    'a service whose file is called otherwise',
    'service: letters-a',
    'service: letters-z',
    [`${PLACE}:1:10 service "letters-z" stands in letters-a.yaml | rename the file to letters-z.yaml`],
  ],
  [
    'an address without port',
    '127.0.0.1:5433',
    '127.0.0.1',
    [`${PLACE}:6:12 not an address to connect to | 127.0.0.1:5432, [::1]:5432 or name:5432`],
  ],
  ['text that is no YAML', 'lane: production', 'lane: "production', [`${PLACE}:17:1 Missing closing "quote`]],
  [
    'a number that reads as another',
    'max_renewals: 1',
    'max_renewals: 01',
    [`${PLACE}:15:43 01 reads as 1 | write 1, or "01" if it is a text`],
  ],
  [
    'a text that reads as a number',
    'user: writer',
    'user: 1.0',
    [`${PLACE}:7:9 1.0 reads as 1 | write 1, or "1.0" if it is a text`],
  ],
  [
    'an anchor',
    'lane: production',
    'lane: &x production',
    [`${PLACE}:3:10 an anchor is not allowed | write the value out, or use "extends" for roles`],
  ],
  [
    'an alias',
    'lane: production',
    'lane: *x',
    [`${PLACE}:3:7 an alias is not allowed | write the value out, or use "extends" for roles`],
  ],
  [
    'a tag',
    'lane: production',
    'lane: !!str production',
    [`${PLACE}:3:13 the tag tag:yaml.org,2002:str is not allowed | remove it`],
  ],
  [
    'a directive',
    'service:',
    '%YAML 1.1\n---\nservice:',
    [`${PLACE}:1:1 a %YAML directive is not allowed | files are YAML 1.2; remove it`],
  ],
  ['a second document', 'lane:', '---\nlane:', [`${PLACE}:3:1 a second document is not allowed`]],
];

for (const [what, from, to, expected] of edits) {
  t.test(`refused, with its place: ${what}`, async (t) => {
    const directory = t.testdir({});
    t.strictSame(afterEdit(directory, from, to), expected);
  });
}

t.test('every problem of every file is reported at once, in order', async (t) => {
  const directory = t.testdir({});
  const service = SERVICE.replace('lane: production', 'lane: staging').replace('allow: [c]', 'allow: [cc]');
  const files = {
    'daypass.yaml': `${GATEWAY}drain: soon\nstaleness: never\n`,
    'services/letters-a.yaml': service.replace('max_renewals: 1', 'max_renewals: -1'),
    'services/letters-b.yaml': SERVICE.replace('letters-a', 'letters-b').replace('user: writer', 'user: 7'),
    'services/broken.yaml': 'service: [\n',
  };
  const places = told(directory, load(directory, files, {})).map((line) => line.split(' ')[0]);
  t.strictSame(places, [
    'daypass.yaml:3:8',
    'daypass.yaml:4:12',
    'services/broken.yaml:2:1',
    'services/letters-a.yaml:3:7',
    'services/letters-a.yaml:8:13',
    'services/letters-a.yaml:14:13',
    'services/letters-a.yaml:15:43',
    'services/letters-b.yaml:7:9',
    'services/letters-b.yaml:8:13',
  ]);
});

t.test('two files may not name the same service', async (t) => {
  const directory = t.testdir({});
  const files = { 'services/letters-a.yaml': SERVICE, 'services/second.yaml': SERVICE };
  t.match(told(directory, load(directory, files)), [
    /^services\/second.yaml:1:10 duplicate service "letters-a" \| it also stands in .*letters-a.yaml$/,
    /^services\/second.yaml:1:10 service "letters-a" stands in second.yaml/,
  ]);
});

t.test('a file that looks like a policy but would not be read is refused', async (t) => {
  const directory = t.testdir({});
  const files = { 'services/letters-a.yaml': SERVICE, 'services/more.yml': SERVICE };
  t.strictSame(told(directory, load(directory, files)), [
    'services/more.yml:1:1 would not be read | policy files end in .yaml',
  ]);
});

t.test('a file that is empty, not UTF-8 or missing is refused', async (t) => {
  const directory = t.testdir({
    'daypass.yaml': GATEWAY,
    services: { 'odd.yaml': Buffer.from([0xff, 0xfe]), 'empty.yaml': '' },
  });
  t.match(told(directory, loadConfig(directory, [letters], ENV)), [
    'services/empty.yaml:1:1 expected a map, found nothing',
    /^services\/odd.yaml:1:1 cannot be read: /,
  ]);
  const nothing = loadConfig(join(directory, 'nowhere'), [letters], ENV);
  t.match(told(directory, nothing), [
    /^nowhere\/daypass.yaml:1:1 cannot be read: ENOENT/,
    /^nowhere\/services:1:1 cannot be read: ENOENT/,
  ]);
});

t.test('keys that only look like text are refused, and none reaches a prototype', async (t) => {
  const directory = t.testdir({});
  const places = afterEdit(directory, 'lane:', '__proto__: { lane: data }\n7: x\n? [a]\n: x\nlane:');
  t.match(places, [/^services\/letters-a.yaml:3:1 /, /:4:1 a key must be plain text/, /:5:3 a key must be plain text/]);
  t.equal(Object.hasOwn(Object.prototype, 'lane'), false);
});

t.test('nesting without end is a problem, not a crash', async (t) => {
  const directory = t.testdir({});
  const loaded = load(directory, { 'services/deep.yaml': `a: ${'['.repeat(20_000)}` });
  t.equal(loaded.ok, false);
});

t.test('as many keys as a draft may hold are looked at once each, not each with all others', (t) => {
  const keys = Array.from({ length: 100_000 }, (_, n) => `k${n}: 1`);
  const { problems, value } = readDocument(['k0: 1', ...keys].join('\n'));
  t.match(problems, [{ line: 2, message: 'duplicate key "k0"' }]);
  t.equal(Object.keys(Object(value)).length, 100_000);
  t.end();
});

t.test('max_total limits a grant with its renewals, and is not less than it may last at first', async (t) => {
  const grants = (more: string) => ({
    'services/letters-a.yaml': SERVICE.replace('max_renewals: 1', `max_renewals: 1, max_total: ${more}`),
  });
  const loaded = load(t.testdir({}), grants('6h'));
  t.same(loaded.ok && loaded.services.get('letters-a')?.grants, {
    ...{ maxDurationSeconds: 14_400, maxRenewals: 1, maxTotalSeconds: 21_600 },
  });
  for (const [written, problem] of [
    ['3h', /max_total is shorter than max_duration/],
    ['soon', /max_total|duration/],
    ['0h', /max_total|duration/],
  ] as const) {
    const refused = load(t.testdir({}), grants(written));
    t.notOk(refused.ok, written);
    t.match(JSON.stringify(refused.problems), problem);
  }
});
