import { type IncomingHttpHeaders, request } from 'node:http';
import { NAVIGATION } from './fixture.js';

export interface Arrived {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The address that answered. */
  readonly at: string;
  /** Where it leads on; null when it does not. */
  readonly next: string | null;
}

/** A browser that goes to several servers of this machine, with the cookies of each host. */
export class Wanderer {
  readonly jars = new Map<string, Map<string, string>>();

  /** Goes to a page; redirects are not followed. */
  async go(address: string, headers: Record<string, string> = {}, form?: Record<string, string>): Promise<Arrived> {
    const url = new URL(address);
    const body = form && new URLSearchParams(form).toString();
    const cookie = [...(this.jars.get(url.hostname) ?? [])].map((pair) => pair.join('=')).join('; ');
    const own = { 'sec-fetch-site': 'same-origin', origin: url.origin };
    const sent = {
      ...{ host: url.host, ...NAVIGATION, ...(cookie === '' ? {} : { cookie }) },
      ...(body === undefined ? {} : { ...own, 'content-type': 'application/x-www-form-urlencoded' }),
      ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      ...headers,
    };
    const [method, path] = [body === undefined ? 'GET' : 'POST', url.pathname + url.search];
    return new Promise((resolve, reject) => {
      const asked = { host: '127.0.0.1', port: url.port, method, path, headers: sent, agent: false };
      const req = request(asked, (res) => {
        this.#keep(url.hostname, res.headers['set-cookie'] ?? []);
        let text = '';
        res.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        const { statusCode: status = 0, headers: told } = res;
        const next = told.location === undefined ? null : new URL(told.location, url).href;
        res.on('end', () => resolve({ status, headers: told, body: text, at: address, next }));
      });
      req.once('error', reject);
      req.end(body);
    });
  }

  /** Goes on wherever it is led, until there is a page, or before an address that matches. */
  async follow(address: string, until: RegExp = /^$/): Promise<Arrived> {
    let arrived = await this.go(address);
    for (let steps = 0; arrived.next !== null && !until.test(arrived.next); steps += 1) {
      if (steps > 12) throw new Error(`no end: ${arrived.next}`);
      arrived = await this.go(arrived.next);
    }
    return arrived;
  }

  #keep(host: string, set: readonly string[]): void {
    const jar = this.jars.get(host) ?? new Map<string, string>();
    this.jars.set(host, jar);
    for (const text of set) {
      const [, name = '', value = ''] = /^([^=;]*)=([^;]*)/.exec(text) ?? [];
      if (value === '' || /max-age=0/i.test(text)) jar.delete(name);
      else jar.set(name, value);
    }
  }
}
