import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

/** The checkout: compiled tests are two folders below it. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

interface Source {
  /** Relative to `src/`. */
  readonly path: string;
  readonly room: string;
  readonly text: string;
  /** What it imports, types included: files relative to `src/`, or package names. */
  readonly imports: readonly { readonly from: string; readonly typeOnly: boolean }[];
}

const SOURCES: readonly Source[] = readdirSync(join(ROOT, 'src'), { recursive: true })
  .map(String)
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
  .map((path) => {
    const text = readFileSync(join(ROOT, 'src', path), 'utf8');
    return { path, room: roomOf(path), text: withoutComments(text), imports: importsOf(path, text) };
  });

function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : '';
}

function importsOf(path: string, text: string) {
  const found = text.matchAll(
    /^(?:import|export)\s+(type\s+)?[^;'"]*?from\s+'([^']+)'|\bimport\('([^']+)'\)|^import\s+'([^']+)'/gm,
  );
  return [...found].map(([, typeOnly, from, dynamic, bare]) => {
    const name = from ?? dynamic ?? bare ?? '';
    const local = name.startsWith('.') ? normalize(join(dirname(path), name)).replace(/\.js$/, '.ts') : name;
    return { from: local, typeOnly: typeOnly !== undefined };
  });
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

/** DESIGN.md, "Layout": arrows run downwards only. A room may import rooms of its own height and below. */
const HEIGHT: Readonly<Record<string, number>> = {
  config: 0,
  audit: 1,
  policy: 1,
  grant: 1,
  session: 1,
  recording: 1,
  gate: 2,
  identity: 2,
  access: 2,
  alerts: 2,
  http: 3,
  postgres: 3,
  api: 3,
  embedded: 3,
  workers: 4,
  cli: 5,
};
/** Rooms of one height that know nothing of each other. */
const SIBLINGS = [
  ['gate', 'identity'],
  ['gate', 'access'],
  ['gate', 'alerts'],
  ['http', 'postgres'],
  ['http', 'api'],
  ['postgres', 'api'],
  ['embedded', 'http'],
  ['embedded', 'postgres'],
  ['embedded', 'api'],
  ['workers', 'http'],
  ['workers', 'postgres'],
  ['workers', 'embedded'],
];
/** Files of the top folder that every room may know; the others are the composition root. */
const LEAVES = new Set([
  ...[
    'clock.ts',
    'errors.ts',
    'holdings.ts',
    'json.ts',
    'limited.ts',
    'log.ts',
    'lookup.ts',
    'metrics.ts',
    'queue.ts',
    'service-meter.ts',
    'tally.ts',
  ],
]);

t.test('arrows run downwards only', async (t) => {
  const wrong: string[] = [];
  for (const { path, room, imports } of SOURCES) {
    if (room === '') continue;
    if (!(room in HEIGHT)) wrong.push(`${path}: the room ${room} has no place in the layout`);
    for (const { from } of imports) {
      if (!from.endsWith('.ts')) continue;
      const other = roomOf(from);
      if (other === '' ? !LEAVES.has(from) && room !== 'cli' : (HEIGHT[other] ?? 99) > (HEIGHT[room] ?? -1))
        wrong.push(`${path} → ${from}`);
      if (SIBLINGS.some((pair) => pair.includes(room) && pair.includes(other) && room !== other))
        wrong.push(`${path} → ${from} (sibling)`);
    }
  }
  t.same(wrong, []);
});

t.test('a leaf imports nothing of ours but leaves and config', async (t) => {
  for (const leaf of LEAVES) {
    const source = SOURCES.find(({ path }) => path === leaf);
    for (const { from, typeOnly } of source?.imports ?? []) {
      t.ok(typeOnly || !from.endsWith('.ts') || LEAVES.has(from) || from.startsWith('config/'), `${leaf} → ${from}`);
    }
  }
});

t.test('embedded is reached from the composition root alone, so that production does not load it', async (t) => {
  const users = SOURCES.filter(
    ({ room, imports }) => room !== 'embedded' && imports.some(({ from }) => from.startsWith('embedded/')),
  );
  t.same(
    users.map(({ path }) => path).filter((path) => path !== 'main.ts'),
    [],
  );
});

/** What decides is pure: values in, a value out. A folder with all that is in it, or one file. */
const PURE: readonly string[] = [
  'policy/',
  'postgres/sql/',
  'postgres/wire/',
  ...['decide', 'judge', 'names', 'expectations', 'pinned', 'parameters', 'stand-ins', 'reports'].map(
    (name) => `postgres/${name}.ts`,
  ),
  'http/rules/',
  'http/headers/',
  ...['body/chunks', 'malformed', 'credential', 'request'].map((name) => `http/${name}.ts`),
  ...['cookies', 'foreign', 'place', 'state'].map((name) => `http/browser/${name}.ts`),
  ...['response-head', 'response-reader', 'target'].map((name) => `http/service/${name}.ts`),
  ...['client-frames', 'frames', 'frame-watch', 'masked-frame', 'masking', 'service-messages'].map(
    (name) => `http/websocket/${name}.ts`,
  ),
  ...['verify', 'jws', 'claims', 'handle', 'judge', 'limits', 'draft', 'lease', 'window'].map(
    (name) => `grant/${name}.ts`,
  ),
  'gate/protocol.ts',
  'gate/entitlement.ts',
];
/** Loads the grammar's WebAssembly once, before anything is decided. */
const LOADER = 'postgres/sql/parser.ts';
const IO =
  /^(node:(net|tls|http|https|http2|fs|fs\/promises|child_process|dgram|dns|timers|worker_threads)|pg|pg-cursor|ioredis|undici|ws|fastify|pino)$/;

t.test('what decides does no I/O, reads no clock and no environment', async (t) => {
  const wrong: string[] = [];
  const isIn = (path: string, place: string) => (place.endsWith('/') ? path.startsWith(place) : path === place);
  // A file that moved away would no longer be held to it, and nobody would notice.
  const gone = PURE.filter((place) => !SOURCES.some(({ path }) => isIn(path, place)));
  t.same(gone, []);
  for (const { path, imports, text } of SOURCES) {
    if (!PURE.some((place) => isIn(path, place)) || path === LOADER) continue;
    for (const { from, typeOnly } of imports) if (!typeOnly && IO.test(from)) wrong.push(`${path} imports ${from}`);
    if (
      /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(|\bsetTimeout\(|\bsetInterval\(|\bprocess\.env\b|\bMath\.random\(/.test(
        text,
      )
    )
      wrong.push(`${path} reads a clock or the environment`);
  }
  t.same(wrong, []);
});

t.test('only the gate makes admissions', async (t) => {
  const minting = SOURCES.filter(({ text }) => text.includes('mintAdmission')).map(({ path }) => path);
  t.same(minting.sort(), ['gate/admission.ts', 'gate/gate.ts']);
  const casting = SOURCES.filter(({ text }) =>
    /\bas (unknown as )?Admission\b|<Admission>\s*[({[]|new Admission\(/.test(text),
  ).map(({ path }) => path);
  t.same(casting, ['gate/admission.ts']);
  const { Admission } = await import('../src/gate/admission.js');
  t.throws(() => Reflect.construct(Admission, []).policy, 'one made around the type has no session to show');
});

t.test('connections are opened in files that say so alone', async (t) => {
  const opens =
    /\bconnect(Tls)?\(\{|\bnew Pool\(|\bnew pg\.(Pool|Client)\(|\bnew (Redis|Client|Agent)\(|\bnew WebSocket\(|\bfetch\(|\bhttps?\.request\(|\bcreateConnection\(|createTransport\(/;
  const found = SOURCES.filter(({ text, room }) => opens.test(text) && room !== 'embedded').map(({ path }) => path);
  /** Not towards a service: the ledger, Redis, the identity provider, who is told of the audit log and of what happens, and the command line's ways to a gateway. */
  const OWN = [
    ...['recording/database.ts', 'grant/redis.ts', 'cli/client.ts'],
    'http/browser/passkey-script.ts', // a page's way to its own host
    ...['identity/provider-fetch.ts', 'cli/remote.ts', 'cli/tunnel.ts', 'audit/post.ts', 'audit/syslog-link.ts'],
    'alerts/smtp.ts',
  ];
  t.same(
    found.filter((path) => !/upstream[^/]*\.ts$/.test(path) && !OWN.includes(path)),
    [],
  );
  t.ok(found.includes('postgres/upstream.ts') && found.includes('http/service/upstream.ts'));
});

t.test('whatever dials an upstream takes an admission', async (t) => {
  const dialling = SOURCES.find(({ path }) => path === 'postgres/upstream.ts')?.text ?? '';
  t.match(dialling, /export async function dial\(\s*admission: Admission/);
  const http = SOURCES.find(({ path }) => path === 'http/service/upstream.ts')?.text ?? '';
  t.match(http, /export function wayTo\(admission: Admission\)/);
});

t.test('whatever dials an upstream has its name looked up once for all who wait', async (t) => {
  for (const dials of ['http/service/upstream.ts', 'postgres/upstream.ts']) {
    const source = SOURCES.find(({ path }) => path === dials);
    t.ok(
      source?.imports.some(({ from }) => from === 'lookup.ts'),
      dials,
    );
  }
});

t.test('operators are told for how many connections to the ledger there has to be room', async (t) => {
  const found = (pattern: RegExp) => SOURCES.flatMap(({ text }) => [...text.matchAll(pattern)]);
  const pools = found(/connectionsFor\('\w+', \w+, \{ max: (\d+)/g);
  t.equal(pools.length, found(/(?<!function) connectionsFor\(/g).length, 'each says how many it may have');
  // The foundation's pool has as many as one that says nothing.
  const most = [...pools, ...found(/max = options\.max \?\? (\d+)/g)].reduce((sum, [, max]) => sum + Number(max), 0);
  const told = readFileSync(join(ROOT, 'docs', 'operating.md'), 'utf8');
  t.ok(told.includes(`with room for ${most} connections of each process`), `${most} connections`);
});

t.test('the central rooms know neither SQL nor HTTP', async (t) => {
  for (const { path, room, imports } of SOURCES) {
    if (!['gate', 'session', 'recording', 'policy', 'grant', 'identity'].includes(room)) continue;
    for (const { from } of imports) t.notMatch(from, /^(http|postgres)\//, `${path} → ${from}`);
  }
});
