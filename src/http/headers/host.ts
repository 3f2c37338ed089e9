import type { Carried } from '../../gate/carried.js';
import type { Header } from '../action.js';
import { valuesOf } from './headers.js';

/** What a Host header selects. It decides nothing else. */
export type Selected =
  | { readonly kind: 'service'; readonly name: string; readonly host: string }
  | { readonly kind: 'gateway' }
  | { readonly kind: 'unknown'; readonly host: string }
  | { readonly kind: 'invalid' };

const HOST = /^([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::(\d{1,5}))?$/;
const HIGHEST_PORT = 65_535;

/** Reads the Host header: `<service>.<domain>` exactly, with or without a port. */
export function selectService(headers: readonly Header[], domain: string): Selected {
  const [host, ...more] = valuesOf(headers, 'host').map((value) => value.toLowerCase());
  const [, name, port = ''] = HOST.exec(host ?? '') ?? [];
  if (host === undefined || more.length > 0 || name === undefined || name.includes('..')) return { kind: 'invalid' };
  if (Number(port) > HIGHEST_PORT) return { kind: 'invalid' }; // no address can be made of it
  if (name === domain) return { kind: 'gateway' };
  if (!name.endsWith(`.${domain}`)) return { kind: 'unknown', host };
  const service = name.slice(0, -domain.length - 1);
  return service.includes('.') ? { kind: 'unknown', host } : { kind: 'service', name: service, host };
}

/**
 * What the Host header selects in a tunnel: its service, by a name that the local port is known by. A page of another site
 * whose name was made to point to this machine has another one (DNS rebinding).
 */
export function selectCarried(headers: readonly Header[], { service: name, door }: Carried): Selected {
  const [host, ...more] = valuesOf(headers, 'host').map((value) => value.toLowerCase());
  if (host === undefined || more.length > 0) return { kind: 'invalid' };
  const port = door.slice(door.lastIndexOf(':'));
  const names = ['127.0.0.1', 'localhost', `${name}.localhost`];
  const known = names.some((one) => host === one + port || (port === ':80' && host === one));
  return known ? { kind: 'service', name, host } : { kind: 'unknown', host };
}
