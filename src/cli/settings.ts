import { createHash } from 'node:crypto';
import { socketIn } from './local-socket.js';

/** Where clients on this machine reach a service. */
export interface LocalService {
  readonly service: string;
  readonly protocol: string;
  readonly subject: string;
  readonly port: number;
  /** Absolute: where its socket is, in place of the port. */
  readonly folder?: string | undefined;
}

const HOST = '127.0.0.1';

/**
 * The port a service has on every machine unless told: settings that were saved once stay good. Below the range that
 * systems choose ports from.
 */
export function usualPort(service: string): number {
  return 20_000 + (createHash('sha256').update(service).digest().readUInt16BE() % 10_000);
}

/** Where it listens, for a person. */
export function placeOf(local: LocalService): string {
  return local.folder === undefined ? `${HOST}:${local.port}` : socketIn(local.folder, local);
}

/** The one line that a client takes: a connection URI (PostgreSQL 34.1.1.2), or an address; a socket's folder is the host in it. */
export function addressOf({ service, protocol, subject, port, folder }: LocalService): string {
  // What asks a web service through a socket names it by one of the names it answers to.
  if (protocol !== 'postgres') return `http://${HOST}:${port}/`;
  const host = folder === undefined ? HOST : inUri(folder);
  return `postgresql://${inUri(subject)}@${host}:${port}/${inUri(service)}?sslmode=disable`;
}

/** What a client that is given no address finds in its environment. */
export function environmentOf(local: LocalService): Readonly<Record<string, string>> {
  const { service, protocol, subject, port, folder } = local;
  const socket = folder === undefined ? {} : { DAYPASS_SOCKET: socketIn(folder, local) };
  if (protocol !== 'postgres') return { DAYPASS_URL: `http://${HOST}:${port}/`, ...socket };
  const where = { PGHOST: folder ?? HOST, PGPORT: String(port), PGDATABASE: service, PGUSER: subject };
  return { ...where, PGSSLMODE: 'disable', PGGSSENCMODE: 'disable', ...socket };
}

/** Settings to paste, by the client that takes them. */
export function settingsOf(local: LocalService): readonly (readonly [client: string, setting: string])[] {
  const { service, protocol, subject, port, folder } = local;
  if (protocol !== 'postgres') {
    const socket = folder === undefined ? '' : `--unix-socket ${inShell(socketIn(folder, local))} `;
    return [['curl', `curl ${socket}${addressOf(local)}`]];
  }
  const psql = ['psql', `psql '${addressOf(local)}'`] as const;
  if (folder !== undefined) return [psql]; // others dial ports alone
  const [database, user] = [encodeURIComponent(service), encodeURIComponent(subject)];
  return [
    psql,
    ['JDBC', `jdbc:postgresql://${HOST}:${port}/${database}?user=${user}&sslmode=disable`],
    ['DBeaver', `Host ${HOST}, Port ${port}, Database ${service}, Username ${subject}, no password, SSL off`],
  ];
}

/** Also within single quotes of a shell. */
function inUri(text: string): string {
  return encodeURIComponent(text).replaceAll("'", '%27');
}

function inShell(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
