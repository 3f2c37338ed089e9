import { createHash } from 'node:crypto';

/** Where clients on this machine reach a service. */
export interface LocalService {
  readonly service: string;
  readonly protocol: string;
  readonly subject: string;
  readonly port: number;
}

const HOST = '127.0.0.1';

/**
 * The port a service has on every machine unless told: settings that were saved once stay good. Below the range that
 * systems choose ports from.
 */
export function usualPort(service: string): number {
  return 20_000 + (createHash('sha256').update(service).digest().readUInt16BE() % 10_000);
}

/** The one line that a client takes: a connection URI (PostgreSQL 34.1.1.2), or an address. */
export function addressOf({ service, protocol, subject, port }: LocalService): string {
  if (protocol !== 'postgres') return `http://${HOST}:${port}/`;
  return `postgresql://${encodeURIComponent(subject)}@${HOST}:${port}/${encodeURIComponent(service)}?sslmode=disable`;
}

/** What a client that is given no address finds in its environment. */
export function environmentOf({ service, protocol, subject, port }: LocalService): Readonly<Record<string, string>> {
  if (protocol !== 'postgres') return { DAYPASS_URL: `http://${HOST}:${port}/` };
  const where = { PGHOST: HOST, PGPORT: String(port), PGDATABASE: service, PGUSER: subject };
  return { ...where, PGSSLMODE: 'disable', PGGSSENCMODE: 'disable' };
}

/** Settings to paste, by the client that takes them. */
export function settingsOf(local: LocalService): readonly (readonly [client: string, setting: string])[] {
  const { service, protocol, subject, port } = local;
  if (protocol !== 'postgres') return [['curl', `curl ${addressOf(local)}`]];
  const [database, user] = [encodeURIComponent(service), encodeURIComponent(subject)];
  return [
    ['psql', `psql '${addressOf(local)}'`],
    ['JDBC', `jdbc:postgresql://${HOST}:${port}/${database}?user=${user}&sslmode=disable`],
    ['DBeaver', `Host ${HOST}, Port ${port}, Database ${service}, Username ${subject}, no password, SSL off`],
  ];
}
