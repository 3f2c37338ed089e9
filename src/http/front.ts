import { createServer, type Server as NetServer, type Socket } from 'node:net';
import type { HttpProxies } from '../config/proxies.js';
import { DaypassError, messageOf } from '../errors.js';
import { takeProxyHeader } from '../gate/proxied.js';
import type { HttpServer } from './client/server.js';
import { passedOnFor } from './whence.js';

/** What stands before a server whose proxies speak the PROXY protocol. */
export interface FrontParts {
  readonly proxies: HttpProxies;
  /** How long a header may take, milliseconds. */
  readonly within: number;
  /** A listed proxy began a connection otherwise. */
  readonly refused: (socket: Socket, why: string) => void;
}

/**
 * A listener that hands connections to a server: those of listed proxies when their header was read, which they must send; all
 * others as they come, so that a header of theirs is no more than a bad request.
 */
export function frontOf(server: HttpServer, parts: FrontParts): NetServer {
  return createServer({ ...server.settings, pauseOnConnect: true }, (socket) => {
    const hand = () => {
      server.accept(socket);
      if (!server.isSecured) socket.resume(); // TLS reads for itself
    };
    socket.on('error', () => {}); // whoever hangs up before its first byte was read
    if (!parts.proxies.from.has(socket.remoteAddress ?? '')) return hand();
    takeProxyHeader(socket, parts.within).then(
      (passed) => {
        if (socket.destroyed) return;
        if (passed !== null && passed !== 'unknown') passedOnFor(socket, passed.address);
        hand();
      },
      (thrown) => {
        if (!hasLeft(thrown)) parts.refused(socket, messageOf(thrown));
        socket.destroy();
      },
    );
  });
}

/** Balancers look whether a port is open, and say nothing: they are not refused. */
function hasLeft(thrown: unknown): boolean {
  return thrown instanceof DaypassError && thrown.code === 'client_left';
}
