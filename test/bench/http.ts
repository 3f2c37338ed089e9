import { command, curl } from '../support/commands.js';
import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { Child } from './child.js';
import { makeDatabase, startBenchGateway } from './gateway.js';
import { startNginxProxies, startWebService } from './peers/nginx.js';
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
}

const CONNECTIONS = 16;
const PEERS = ['direct', 'proxy_pass', 'auth_request', 'http-proxy'] as const;
const OURS = ['buffered', 'strict'] as const;
/** Without a peer: what the auth server knows. */
const TOKEN = 'bench';

/** Small and large bodies and WebSocket echoes, on every way to the same service, in turns. */
export async function benchHttp(scope: Scope, settings: Settings, report: Report): Promise<void> {
  const missing = missingProgram('nginx', 'nginx-light', '-v') ?? missingProgram('wrk', 'wrk', '-v', 1);
  if (missing !== null) return report.note(missing);
  const ways = await startWays(scope, settings);
  const load = await Child.start(scope, 'ws-load');
  const { seconds, rounds } = settings;
  const works: [string, number, (way: Way) => Promise<number>][] = [
    ['get', rounds, (way) => requests(way, '/small', seconds)],
    ['get 64 KiB', rounds, (way) => requests(way, '/medium.bin', seconds)],
    ['get 100 MB', Math.min(rounds, 3), (way) => download(way, '/large.bin')],
    ['websocket echo', rounds, (way) => echoes(load, way, seconds)],
  ];
  const chosen = works.filter(([work]) => settings.only.includes(work));
  for (const [work, times, measure] of chosen.length === 0 ? works : chosen) {
    const seen = new Map([...ways.keys()].map((name) => [name, [] as number[]]));
    for (let round = 0; round < times; round += 1) {
      for (const [name, way] of ways) seen.get(name)?.push(await measure(way));
    }
    const rates = new Map([...seen].map(([name, values]) => [name, median(values)]));
    report.progress(`${work}: ${[...rates].map(([name, rate]) => `${name} ${Math.round(rate)}`).join(', ')}`);
    for (const ours of OURS) {
      for (const peer of PEERS) {
        const [rate, theirs] = [rates.get(ours), rates.get(peer)];
        if (rate !== undefined && theirs !== undefined) report.add('http', `${work} ${ours}`, peer, rate, theirs);
      }
    }
  }
}

async function startWays(scope: Scope, settings: Settings): Promise<Map<string, Way>> {
  const web = await startWebService(scope, settings.bodyBytes);
  const echo = Number((await Child.start(scope, 'echo')).ready.port);
  const redis = await startRedis(scope);
  const auth = Number((await Child.start(scope, 'auth-server', { args: [redis.url] })).ready.port);
  const nginx = await startNginxProxies(scope, { web, echo, auth });
  const proxy = Number((await Child.start(scope, 'http-proxy', { args: [String(web), String(echo)] })).ready.port);
  const plain = { host: 'web.localhost', token: TOKEN };
  const ways = new Map<string, Way>([
    ['direct', { ...plain, port: web, echoPort: echo }],
    ['proxy_pass', { ...plain, port: nginx.plain, echoPort: nginx.plain }],
    ['auth_request', { ...plain, port: nginx.authorised, echoPort: nginx.authorised }],
    ['http-proxy', { ...plain, port: proxy, echoPort: proxy }],
  ]);
  const ledger = await startPostgres(scope, { durable: true });
  const services = Object.fromEntries(
    OURS.flatMap((mode) => [
      [`web-${mode}`, policy(`web-${mode}`, web, mode)],
      [`echo-${mode}`, policy(`echo-${mode}`, echo, mode)],
    ]),
  );
  const gateway = await startBenchGateway(scope, {
    services,
    ledger: await makeDatabase(ledger),
    redisUrl: redis.url,
    workers: settings.workers,
    profile: settings.profile,
  });
  for (const mode of OURS) {
    const { handle } = await gateway.issue({ service: `web-${mode}`, for: '1h' });
    const echoing = await gateway.issue({ service: `echo-${mode}`, for: '1h' });
    const { http } = gateway.ports;
    ways.set(mode, { port: http, echoPort: http, host: `web-${mode}.localhost`, token: handle });
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
upstream: { url: "http://127.0.0.1:${port}" }
roles:
  viewer: { allow: [GET /**, WS /live] }
grants: { max_duration: 8h, max_renewals: 1 }
recording: { mode: ${mode} }
`;
}

/** Requests per second over kept-alive connections. @throws when an answer was not 2xx */
async function requests({ port, host, token }: Way, path: string, seconds: number): Promise<number> {
  const headers = ['-H', `Host: ${host}`, '-H', `Authorization: Bearer ${token}`];
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, ...headers, `http://127.0.0.1:${port}${path}`];
  const { stdout, stderr } = await command('wrk', args, { timeout: 60_000 });
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1];
  if (rate === undefined || /Non-2xx/.test(stdout)) throw new Error(`wrk ${host}${path}: ${stdout}${stderr}`);
  return Number(rate);
}

/** Megabytes per second of one download. */
async function download({ port, host, token }: Way, path: string): Promise<number> {
  const headers = ['-H', `Host: ${host}`, '-H', `Authorization: Bearer ${token}`];
  const asked = ['-o', '/dev/null', '-f', '-w', '%{speed_download}', ...headers, `http://127.0.0.1:${port}${path}`];
  const { stdout, stderr, code } = await curl(asked, { timeout: 60_000 });
  if (code !== 0) throw new Error(`curl ${host}${path}: ${stderr}`);
  return Number(stdout) / 1e6;
}

/** Messages per second that came back. */
async function echoes(load: Child, way: Way, seconds: number): Promise<number> {
  const mode = OURS.find((one) => way.host === `web-${one}.localhost`);
  const host = mode === undefined ? way.host : `echo-${mode}.localhost`;
  const token = (mode === undefined ? undefined : echoTokens.get(mode)) ?? way.token;
  const { perSecond } = await load.ask({
    url: `ws://127.0.0.1:${way.echoPort}/live`,
    host,
    authorization: `Bearer ${token}`,
    connections: CONNECTIONS,
    milliseconds: seconds * 1000,
  });
  return Number(perSecond);
}
