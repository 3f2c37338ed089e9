import { join } from 'node:path';
import { command, curl } from '../support/commands.js';
import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { Child } from './child.js';
import { cpuSeconds } from './cpu.js';
import { folder } from './folder.js';
import { makeDatabase, startBenchGateway } from './gateway.js';
import { startNginxProxies, startWebService, writeDocuments } from './peers/nginx.js';
import { missingProgram } from './peers/program.js';
import { median, type Report } from './report.js';
import type { Scope } from './scope.js';
import type { Settings } from './settings.js';

/** A way to the web service: its port, and what a client says to be let in. */
interface Way {
  readonly port: number;
  readonly echoPort: number;
  readonly host: string;
  readonly token: string;
  /** The process that stands between, where it is one of ours: what it spends is told. */
  readonly pid?: number;
  /** The only work this way can do; all of them unless said. */
  readonly only?: string;
}

const CONNECTIONS = 16;
const PEERS = ['direct', 'proxy_pass', 'auth_request', 'http-proxy', 'ws relay'] as const;
const OURS = ['buffered', 'strict'] as const;
/** Without a peer: what the auth server knows. */
const TOKEN = 'bench';
const ECHO = 'websocket echo';

/** What one measurement says, by the suffix of its case: `''` is the rate, and better when higher. */
type Figures = Readonly<Record<string, number>>;

/** Microseconds of a process's CPU for each request: no comparison, but what moves least with the load of the machine. */
const CPU = ' cpu us';

/** Small and large bodies and WebSocket echoes, on every way to the same service, in turns. */
export async function benchHttp(scope: Scope, settings: Settings, report: Report): Promise<void> {
  const nginx = isThere(report, missingProgram('nginx', 'nginx-light', '-v'));
  const wrk = isThere(report, missingProgram('wrk', 'wrk', '-v', 1));
  const documents = await folder(scope);
  await writeDocuments(documents, settings.bodyBytes);
  const ways = await startWays(scope, settings, documents, nginx);
  const load = await Child.start(scope, 'ws-load');
  const { seconds, rounds } = settings;
  const large = join(documents, 'large.bin');
  const works: [string, number, (way: Way) => Promise<Figures>][] = [
    ...(wrk ? loads(settings) : []),
    ['get 100 MB', Math.min(rounds, 3), async (way) => ({ '': await download(way, '/large.bin') })],
    ['put 100 MB', Math.min(rounds, 3), async (way) => ({ '': await upload(way, large) })],
    [ECHO, rounds, (way) => echoes(load, way, seconds)],
  ];
  const chosen = works.filter(([work]) => settings.only.includes(work));
  for (const [work, times, measure] of chosen.length === 0 ? works : chosen) {
    const able = [...ways].filter(([, { only = work }]) => only === work);
    const seen = new Map(able.map(([name]) => [name, [] as Figures[]]));
    for (const [, way] of able) await measure(way); // not counted: what runs in Node is compiled meanwhile
    for (let round = 0; round < times; round += 1) {
      for (const [name, way] of able) seen.get(name)?.push(await measure(way));
    }
    for (const suffix of Object.keys([...seen.values()][0]?.[0] ?? {})) {
      const middle = (figures: Figures[]) => median(figures.map((one) => one[suffix] ?? Number.NaN));
      const middles = new Map([...seen].map(([name, figures]) => [name, middle(figures)]));
      if (suffix === CPU) tellCosts(report, work, middles);
      else compare(report, `${work}${suffix}`, middles);
    }
  }
}

/** What wrk measures; the latency of the small request among it. */
function loads({ seconds, rounds }: Settings): [string, number, (way: Way) => Promise<Figures>][] {
  return [
    [
      'get',
      rounds,
      async (way) => {
        const { rate, p99, cpu } = await requests(way, '/small', seconds);
        return { '': rate, ' p99 ms': p99, [CPU]: cpu };
      },
    ],
    [
      'get 64 KiB',
      rounds,
      async (way) => {
        const { rate, cpu } = await requests(way, '/medium.bin', seconds);
        return { '': rate, [CPU]: cpu };
      },
    ],
  ];
}

function tellCosts(report: Report, work: string, costs: ReadonlyMap<string, number>): void {
  const known = [...costs].filter(([, cost]) => !Number.isNaN(cost));
  const each = known.map(([name, cost]) => `${name} ${Math.round(cost)}`).join(', ');
  report.note(`${work}: microseconds of the process's CPU for each request: ${each}`);
}

function isThere(report: Report, missing: string | null): boolean {
  if (missing !== null) report.lacks(missing);
  return missing === null;
}

function compare(report: Report, work: string, figures: ReadonlyMap<string, number>): void {
  report.progress(`${work}: ${[...figures].map(([name, one]) => `${name} ${one.toPrecision(4)}`).join(', ')}`);
  for (const mode of OURS) {
    for (const peer of PEERS) {
      const [ours, theirs] = [figures.get(mode), figures.get(peer)];
      if (ours !== undefined && theirs !== undefined) report.add('http', `${work} ${mode}`, peer, ours, theirs);
    }
  }
}

async function startWays(
  scope: Scope,
  settings: Settings,
  documents: string,
  nginxIsThere: boolean,
): Promise<Map<string, Way>> {
  const web = nginxIsThere
    ? await startWebService(scope, documents)
    : Number((await Child.start(scope, 'web', { args: [documents] })).ready.port);
  const echo = Number((await Child.start(scope, 'echo')).ready.port);
  const redis = await startRedis(scope);
  const peer = await Child.start(scope, 'http-proxy', { args: [String(web), String(echo)] });
  const proxy = Number(peer.ready.port);
  const relay = await Child.start(scope, 'ws-relay', { args: [String(echo)] });
  const relayed = Number(relay.ready.port);
  const plain = { host: 'web.localhost', token: TOKEN };
  const ways = new Map<string, Way>([
    ['direct', { ...plain, port: web, echoPort: echo }],
    ['http-proxy', { ...plain, port: proxy, echoPort: proxy, pid: peer.pid }],
    ['ws relay', { ...plain, port: relayed, echoPort: relayed, only: ECHO, pid: relay.pid }],
  ]);
  if (nginxIsThere) {
    const auth = Number((await Child.start(scope, 'auth-server', { args: [redis.url] })).ready.port);
    const nginx = await startNginxProxies(scope, { web, echo, auth });
    ways.set('proxy_pass', { ...plain, port: nginx.plain, echoPort: nginx.plain });
    ways.set('auth_request', { ...plain, port: nginx.authorised, echoPort: nginx.authorised });
  }
  const ledger = await startPostgres(scope, { durable: true });
  const services = Object.fromEntries(
    OURS.flatMap((mode) => [
      [`web-${mode}`, policy(`web-${mode}`, web, mode)],
      [`echo-${mode}`, policy(`echo-${mode}`, echo, mode)],
    ]),
  );
  const gateway = await startBenchGateway(scope, {
    services,
    // Services are injected a credential, which is looked for in what they answer.
    env: { BENCH_TOKEN: 'Bearer b3nch-Token-that-never-comes-back' },
    ledger: await makeDatabase(ledger),
    redisUrl: redis.url,
    workers: settings.workers,
    profile: settings.profile,
  });
  for (const mode of OURS) {
    const { handle } = await gateway.issue({ service: `web-${mode}`, for: '1h' });
    const echoing = await gateway.issue({ service: `echo-${mode}`, for: '1h' });
    const { http } = gateway.ports;
    const { pid } = gateway.child;
    ways.set(mode, { port: http, echoPort: http, host: `web-${mode}.localhost`, token: handle, pid });
    echoTokens.set(mode, echoing.handle);
  }
  const only = settings.only.filter((name) => ways.has(name));
  return only.length === 0 ? ways : new Map([...ways].filter(([name]) => only.includes(name)));
}

/** Web and echo are two services behind the gateway, so each has a handle of its own. */
const echoTokens = new Map<string, string>();

function policy(name: string, port: number, mode: string): string {
  return `
service: ${name}
protocol: http
lane: code
owner: group:bench
upstream: { url: "http://127.0.0.1:${port}", headers: { X-Bench: { env: BENCH_TOKEN } } }
roles:
  viewer: { allow: [GET /**, PUT /upload, WS /live] }
grants: { max_duration: 8h, max_renewals: 1 }
recording: { mode: ${mode} }
`;
}

/**
 * Requests per second over kept-alive connections, their p99 in milliseconds, and what each took of the process between,
 * microseconds.
 * @throws when an answer was not 2xx
 */
async function requests(
  { port, host, token, pid }: Way,
  path: string,
  seconds: number,
): Promise<{ rate: number; p99: number; cpu: number }> {
  const before = cpuSeconds(pid);
  const headers = ['-H', `Host: ${host}`, '-H', `Authorization: Bearer ${token}`];
  const work = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency'];
  const { stdout, stderr } = await command('wrk', [...work, ...headers, `http://127.0.0.1:${port}${path}`], {
    timeout: 60_000,
  });
  const spent = cpuSeconds(pid) - before;
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1];
  const all = Number(/\s(\d+) requests in /.exec(stdout)?.[1]);
  const [, slowest, unit = ''] = /\s99%\s+([\d.]+)(us|ms|s)\b/.exec(stdout) ?? [];
  if (rate === undefined || slowest === undefined || /Non-2xx/.test(stdout))
    throw new Error(`wrk ${host}${path}: ${stdout}${stderr}`);
  const p99 = Number(slowest) * (MILLISECONDS[unit] ?? Number.NaN);
  return { rate: Number(rate), p99, cpu: pid === undefined ? Number.NaN : (spent / all) * 1e6 };
}

/** In the units that wrk writes. */
const MILLISECONDS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 };

/** Megabytes per second of one download. */
async function download({ port, host, token }: Way, path: string): Promise<number> {
  const headers = ['-H', `Host: ${host}`, '-H', `Authorization: Bearer ${token}`];
  const asked = ['-o', '/dev/null', '-f', '-w', '%{speed_download}', ...headers, `http://127.0.0.1:${port}${path}`];
  const { stdout, stderr, code } = await curl(asked, { timeout: 60_000 });
  if (code !== 0) throw new Error(`curl ${host}${path}: ${stderr}`);
  return Number(stdout) / 1e6;
}

/** Megabytes per second of one upload, until its answer is here. */
async function upload(way: Way, file: string): Promise<number> {
  const { host, token } = echoing(way);
  const headers = ['-H', `Host: ${host}`, '-H', `Authorization: Bearer ${token}`, '-H', 'Expect:'];
  const asked = ['-o', '/dev/null', '-f', '-w', '%{speed_upload}', '-T', file, ...headers];
  const { stdout, stderr, code } = await curl([...asked, `http://127.0.0.1:${way.echoPort}/upload`], {
    timeout: 60_000,
  });
  if (code !== 0) throw new Error(`curl ${host}/upload: ${stderr}`);
  return Number(stdout) / 1e6;
}

/** How the service that echoes and takes uploads is reached on this way: behind the gateway it is one of its own. */
function echoing(way: Way): { readonly host: string; readonly token: string } {
  const mode = OURS.find((one) => way.host === `web-${one}.localhost`);
  if (mode === undefined) return way;
  return { host: `echo-${mode}.localhost`, token: echoTokens.get(mode) ?? way.token };
}

/** Messages per second that came back, and what each took of the process. */
async function echoes(load: Child, way: Way, seconds: number): Promise<Figures> {
  const { host, token } = echoing(way);
  const before = cpuSeconds(way.pid);
  const { perSecond } = await load.ask({
    url: `ws://127.0.0.1:${way.echoPort}/live`,
    host,
    authorization: `Bearer ${token}`,
    connections: CONNECTIONS,
    milliseconds: seconds * 1000,
  });
  const rate = Number(perSecond);
  const spent = way.pid === undefined ? Number.NaN : cpuSeconds(way.pid) - before;
  return { '': rate, [CPU]: (spent / (rate * seconds)) * 1e6 };
}
