import { randomBytes } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readEnvFile } from '../config/env-file.js';
import type { Log } from '../log.js';
import { type Cluster, startCluster } from './cluster.js';
import { keptSecret } from './files.js';
import { ORDERS_DATABASE, ORDERS_TCP_CLIENTS, prepareOrders } from './orders-database.js';
import { type OrdersWeb, startOrdersWeb } from './orders-web/server.js';
import { placeOf, portFor } from './place.js';

/** What the shipped policy files ask for by `{ env: … }`. */
export interface SamplesEnvironment {
  readonly ORDERS_DB_ADDRESS: string;
  readonly ORDERS_DB_PASSWORD: string;
  readonly ORDERS_DB_FIXER_PASSWORD: string;
  readonly ORDERS_WEB_URL: string;
  /** The whole value of the `Authorization` header that the web app wants: `Bearer …`. */
  readonly ORDERS_WEB_TOKEN: string;
}

export interface Samples {
  /** To be added to the environment before the configuration is read; kept in `<data>/samples.env` as well. */
  readonly env: SamplesEnvironment;
  stop(): Promise<void>;
}

/**
 * Starts the sample upstreams: an orders database and an orders web app, on loopback, with passwords made at the first
 * start. Ports 5433 and 7080, or free ones when those are taken; kept over restarts; `DAYPASS_SAMPLES_PG` and
 * `DAYPASS_SAMPLES_WEB` (`127.0.0.1:<port>`) fix them.
 *
 * @param dataDirectory absolute; made when missing
 * @throws DaypassError `embedded_*` or `samples_*`
 */
export async function startSamples(
  dataDirectory: string,
  log: Log,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Samples> {
  const file = join(dataDirectory, 'samples.env');
  const kept = readEnvFile(file);
  const place = placeOf('DAYPASS_SAMPLES_PG', env.DAYPASS_SAMPLES_PG, kept.ORDERS_DB_ADDRESS, 5433);
  let port = place.port;
  const chosen = async () => {
    port = await portFor(place);
    return port;
  };
  const listen = { host: place.host, port: chosen, clients: ORDERS_TCP_CLIENTS };
  const cluster = await startCluster({ name: 'samples', dataRoot: dataDirectory, listen, log });
  try {
    const secrets = secretsFrom(kept);
    const web = await startWeb(cluster, secrets, placeOfWeb(env, kept), log);
    const made = { ORDERS_DB_ADDRESS: address(place.host, port), ORDERS_WEB_URL: web.url, ...secrets };
    await writeEnvFile(file, made);
    return { env: made, stop: () => stopAll(web, cluster) };
  } catch (failure) {
    await cluster.stop();
    throw failure;
  }
}

type Secrets = Pick<SamplesEnvironment, 'ORDERS_DB_PASSWORD' | 'ORDERS_DB_FIXER_PASSWORD' | 'ORDERS_WEB_TOKEN'>;

async function startWeb(cluster: Cluster, secrets: Secrets, place: ReturnType<typeof placeOf>, log: Log) {
  const password = await keptSecret(join(cluster.files.base, 'orders-app'));
  await prepareOrders(cluster, {
    daypass_reader: secrets.ORDERS_DB_PASSWORD,
    daypass_fixer: secrets.ORDERS_DB_FIXER_PASSWORD,
    orders_app: password,
  });
  const { host, port } = cluster.superuser;
  return startOrdersWeb({
    host: place.host,
    port: await portFor(place),
    authorization: secrets.ORDERS_WEB_TOKEN,
    database: { host, port, user: 'orders_app', password, database: ORDERS_DATABASE },
    log,
  });
}

async function stopAll(web: OrdersWeb, cluster: Cluster): Promise<void> {
  await web.stop();
  await cluster.stop();
}

function placeOfWeb(env: Readonly<Record<string, string | undefined>>, kept: Readonly<Record<string, string>>) {
  const last = kept.ORDERS_WEB_URL?.replace(/^http:\/\//, '');
  return placeOf('DAYPASS_SAMPLES_WEB', env.DAYPASS_SAMPLES_WEB, last, 7080);
}

function secretsFrom(kept: Readonly<Record<string, string>>): Secrets {
  const made = () => randomBytes(24).toString('base64url');
  return {
    ORDERS_DB_PASSWORD: kept.ORDERS_DB_PASSWORD || made(),
    ORDERS_DB_FIXER_PASSWORD: kept.ORDERS_DB_FIXER_PASSWORD || made(),
    ORDERS_WEB_TOKEN: kept.ORDERS_WEB_TOKEN || `Bearer ${made()}`,
  };
}

function address(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

async function writeEnvFile(path: string, values: SamplesEnvironment): Promise<void> {
  const lines = Object.entries(values).map(([key, value]) => `${key}=${value}`);
  const text = [
    '# The sample upstreams of this checkout; written anew at every start, passwords kept.',
    ...lines,
    '',
  ].join('\n');
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
