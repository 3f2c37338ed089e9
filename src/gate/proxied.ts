import type { Duplex } from 'node:stream';
import { DaypassError } from '../errors.js';
import { type ProxyHeader, readProxyHeader } from './proxy-header.js';

/** Whom a proxy passes a connection on for; null when it is the proxy's own, `unknown` when the proxy does not say. */
export type Passed = Extract<ProxyHeader, { kind: 'whole' }>['source'];

/**
 * Reads the header that a listed proxy begins each connection with. The stream is given back paused, with what came after it.
 * @param within - how long it may take, milliseconds; a stream that is destroyed meanwhile fails as well
 * @throws DaypassError `proxy_header` for anything else than one such header; `client_left` when nothing came at all
 */
export function takeProxyHeader(stream: Duplex, within: number): Promise<Passed> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const done = (settle: () => void) => {
      clearTimeout(timer);
      stream.pause();
      stream.off('data', onData).off('end', onGone).off('close', onGone);
      settle();
    };
    const fail = (why: string) => done(() => reject(new DaypassError('proxy_header', `no PROXY header: ${why}`)));
    const onGone = () => {
      if (bytes.length > 0) return fail('the connection ended');
      done(() => reject(new DaypassError('client_left', 'the connection ended before its first byte')));
    };
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const header = readProxyHeader(bytes);
      if (header.kind === 'garbage') return fail(header.why);
      if (header.kind === 'begun') return;
      done(() => {
        const rest = bytes.subarray(header.length);
        if (rest.length > 0) stream.unshift(rest);
        resolve(header.source);
      });
    };
    const timer = setTimeout(() => fail(`none within ${within} ms`), within);
    stream.on('data', onData).on('end', onGone).on('close', onGone);
    stream.resume();
  });
}
