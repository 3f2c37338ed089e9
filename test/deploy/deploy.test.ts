import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { z } from 'zod';
import { packageRoot } from '../../src/cli/place.js';
import { loadConfig } from '../../src/config/load.js';
import { loadProtocols } from '../../src/protocols.js';
import { scrape } from '../metrics/scrape.js';
import { gatewayToOrders } from '../postgres/fixture.js';
import { selfSigned } from '../support/certificate.js';
import { command } from '../support/commands.js';
import { throughGateway } from '../support/gateway.js';

const root = packageRoot();
const deploy = (...path: string[]) => join(root, 'deploy', ...path);
const read = (...path: string[]) => readFileSync(join(root, ...path), 'utf8');

const named = z.record(z.string(), z.unknown());
const composeFile = z.object({
  services: z.record(
    z.string(),
    z.object({
      image: z.string(),
      build: z.object({ context: z.string(), dockerfile: z.string() }).optional(),
      networks: z.array(z.string()).optional(),
      network_mode: z.string().optional(),
      depends_on: z.union([z.array(z.string()), named]).optional(),
      volumes: z.array(z.string()).optional(),
      secrets: z.array(z.string()).optional(),
      configs: z.array(z.object({ source: z.string() })).optional(),
      environment: z.record(z.string(), z.string()).optional(),
      read_only: z.boolean().optional(),
    }),
  ),
  networks: named,
  volumes: named,
  configs: named,
  secrets: z.record(z.string(), z.object({ file: z.string() })),
});

const compose = composeFile.parse(parse(read('deploy', 'compose.yaml'), { merge: true }));
const services = Object.entries(compose.services);

t.test('compose.yaml: every file, network, volume, secret and service that it names is there', async (t) => {
  for (const [name, service] of services) {
    for (const volume of service.volumes ?? []) {
      const [source = ''] = volume.split(':');
      if (source.startsWith('.')) t.ok(existsSync(deploy(source)), `${name}: ${source}`);
      else t.ok(source in compose.volumes, `${name}: volume ${source}`);
    }
    for (const network of service.networks ?? []) t.ok(network in compose.networks, `${name}: network ${network}`);
    for (const secret of service.secrets ?? []) t.ok(secret in compose.secrets, `${name}: secret ${secret}`);
    for (const { source } of service.configs ?? []) t.ok(source in compose.configs, `${name}: config ${source}`);
    const others = service.depends_on ?? [];
    for (const other of Array.isArray(others) ? others : Object.keys(others)) {
      t.ok(other in compose.services, `${name} depends on ${other}`);
    }
    const { network_mode: mode, build } = service;
    if (mode !== undefined) t.ok(mode.replace('service:', '') in compose.services, `${name}: ${mode}`);
    if (build !== undefined) t.ok(existsSync(deploy(build.context, build.dockerfile)), `${name}: its Dockerfile`);
  }
});

t.test('compose.yaml: every variable is in env.example, and every secret is made by the README', async (t) => {
  const variables = new Set([...read('deploy', 'compose.yaml').matchAll(/\$\{(\w+)/g)].map(([, name]) => name));
  const example = new Set([...read('deploy', 'env.example').matchAll(/^(\w+)=/gm)].map(([, name]) => name));
  t.same([...variables].sort(), [...example].sort());
  for (const { file } of Object.values(compose.secrets)) {
    t.match(read('deploy', 'README.md'), file.replace('./', ''), file);
  }
});

t.test(
  'compose.yaml: both gateways are closed up, run the same configuration and reach Redis and Postgres',
  async (t) => {
    for (const name of ['gateway-1', 'gateway-2']) {
      const gateway = compose.services[name];
      t.match(gateway, {
        read_only: true,
        image: 'daypass',
        environment: { REDIS_URL: /@redis:/, DATABASE_URL: /@postgres:/ },
      });
      for (const other of ['redis', 'postgres'])
        t.same(compose.services[other]?.networks, ['data'], `${other} is reached by gateways alone`);
      t.ok(gateway?.networks?.includes('data'));
    }
  },
);

async function examples(t: Test) {
  const folder = await mkdtemp('/tmp/dp-deploy-');
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await cp(deploy('config'), join(folder, 'config'), { recursive: true });
  const { privateKey } = generateKeyPairSync('ed25519');
  await writeFile(join(folder, 'grant.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const { cert, key } = await selfSigned();
  await writeFile(join(folder, 'tls.crt'), cert);
  await writeFile(join(folder, 'tls.key'), key);
  await writeFile(join(folder, 'edge.pem'), cert + key);
  const file = join(folder, 'config', 'daypass.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replaceAll('/run/secrets/', `${folder}/`));
  return folder;
}

t.test(
  'the configuration of compose.yaml is one that the gateway takes, and the proxies and Prometheus know its ports',
  async (t) => {
    const folder = await examples(t);
    const env = { ...compose.services['gateway-1']?.environment };
    const filled = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, filledIn(name, value)]));
    const loaded = loadConfig(join(folder, 'config'), await loadProtocols(), filled);
    t.same(loaded.problems, []);
    if (!loaded.ok) return;
    const { http, postgres, health } = loaded.gateway.listen;
    t.match(read('deploy', 'haproxy', 'edge.cfg'), `server local ${http.host}:${http.port}`);
    const balancer = read('deploy', 'haproxy', 'balancer.cfg');
    const targets = parse(read('deploy', 'prometheus', 'prometheus.yaml')).scrape_configs[0].static_configs[0].targets;
    for (const name of ['gateway-1', 'gateway-2']) {
      t.match(balancer, `server ${name} ${name}:${postgres.port}`);
      t.ok(targets.includes(`${name}:${health.port}`));
    }
    t.match(balancer, `check port ${health.port}`);
    t.match(read('Dockerfile'), `127.0.0.1:${health.port}/livez`, 'the health check asks the same listener');
  },
);

/** What a person would fill in for the variables of env.example. */
function filledIn(name: string, value: string): string {
  const examples: Record<string, string> = {
    ORDERS_DB_ADDRESS: 'orders-db.internal:5432',
    ORDERS_WEB_URL: 'https://orders-web.internal',
  };
  return value.replace(/\$\{\w+[^}]*\}/g, examples[name] ?? 'word');
}

t.test('the image copies what is there, and what .dockerignore lets through', async (t) => {
  const allowed = read('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  const copies = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  );
  t.ok(copies.length > 5);
  for (const source of copies) {
    t.ok(existsSync(join(root, source)), source);
    t.ok(allowed.includes(source), `${source} is not ignored`);
  }
  t.match(read('Dockerfile'), /npm ci --omit=dev --omit=optional/);
  t.match(read('Dockerfile'), /^USER 10001/m);
});

t.test('what serves imports no package that the image leaves out', async (t) => {
  const { dependencies } = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(read('package.json')));
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  for (const file of files) {
    for (const [, name = ''] of read('src', file).matchAll(
      /^(?:import|export) (?!type )[^;]*?from '([^.'][^']*)';$/gm,
    )) {
      const known = name.startsWith('node:') || packageOf(name) in dependencies;
      if (!known) t.fail(`${file} imports ${name}`);
    }
  }
  t.ok(files.length > 100);
});

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

t.test(
  'every metric that an alert or the dashboard asks for is exported by a gateway, and every documented alert exists',
  async (t) => {
    const gateway = await gatewayToOrders(t);
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    await client.query('select id from orders limit 1');
    const { types } = await scrape(`http://[::1]:${gateway.ports.health}`);
    const exported = (name: string) =>
      types.has(name) || types.get(name.replace(/_(?:bucket|sum|count)$/, '')) === 'histogram';
    const alerts = z
      .object({ groups: z.array(z.object({ rules: z.array(z.object({ alert: z.string(), expr: z.string() })) })) })
      .parse(parse(read('deploy', 'prometheus', 'alerts.yaml')))
      .groups.flatMap(({ rules }) => rules);
    const panels = z
      .object({ panels: z.array(z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string() })) })) })
      .parse(JSON.parse(read('deploy', 'grafana', 'dashboard.json')))
      .panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ alert: title, expr })));
    for (const { alert, expr } of [...alerts, ...panels]) {
      const names = expr.match(/\b(?:daypass|process|nodejs)_\w+/g) ?? [];
      for (const name of names) t.ok(exported(name), `${alert}: ${name}`);
      t.ok(names.length > 0 || expr.includes('up{'), alert);
    }
    const documented = new Set(read('docs', 'metrics.md').match(/\bDaypass[A-Z]\w+/g));
    for (const { alert } of alerts) documented.add(alert === 'DaypassDown' ? alert : '').delete('');
    t.same([...documented].sort(), alerts.map(({ alert }) => alert).sort());
  },
);

/** Runs a checker; skips the test where it is not installed. */
async function checked(t: Test, name: string, args: readonly string[]): Promise<void> {
  const ran = await command(name, args).catch(() => null);
  if (ran === null) return void t.pass(name, { skip: 'it is not installed' });
  t.equal(ran.code, 0, `${ran.stdout}${ran.stderr}`);
}

t.test('promtool takes the rules and the configuration', (t) =>
  checked(t, 'promtool', ['check', 'config', deploy('prometheus', 'prometheus.yaml')]),
);

t.test('haproxy takes both configurations', async (t) => {
  const folder = await examples(t);
  for (const name of ['edge.cfg', 'balancer.cfg']) {
    const file = join(folder, name);
    await writeFile(file, read('deploy', 'haproxy', name).replace('/run/secrets/', `${folder}/`));
    await checked(t, 'haproxy', ['-c', '-f', file]);
  }
});

t.test('systemd takes the unit', async (t) => {
  const folder = await examples(t);
  const unit = join(folder, 'daypass.service');
  await writeFile(unit, read('deploy', 'daypass.service').replace('/usr/bin/node', process.execPath));
  await checked(t, 'systemd-analyze', ['verify', unit]);
});
