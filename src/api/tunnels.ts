import { type IncomingMessage, ServerResponse } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import { DaypassError } from '../errors.js';
import type { TakeCarried } from '../gate/carried.js';
import type { Gate } from '../gate/gate.js';
import { timeLeftOf } from '../grant/lease.js';
import type { GrantView } from '../grant/record.js';
import type { Bearer } from '../identity/bearers.js';
import { CUTS, type CutReason } from '../policy/reason.js';
import { carriedBy, endSurely } from '../session/connection.js';
import type { Session } from '../session/session.js';
import { type ApiApp, actorIn } from './app.js';
import { Places } from './places.js';
import type { RouteParts } from './routes.js';
import { grantId, name } from './schemas.js';
import { type Closing, TUNNEL_LIMITS, TUNNEL_PROTOCOL, TunnelStream } from './tunnel-stream.js';
import { secretOf, type Upgrade, type Visit } from './who.js';

/** What tunnels take besides. */
export interface TunnelParts extends Pick<RouteParts, 'grants' | 'policies' | 'clock'> {
  readonly gate: Pick<Gate, 'isOpen'>;
  readonly bearers: { find(token: string, grantId: string): Promise<Bearer | null> };
  /** The ways in, by protocol. They are there once their listeners are. */
  readonly ways: ReadonlyMap<string, TakeCarried>;
}

/** Tunnels that one person may have open at once. */
const MOST_TUNNELS = 64;
/** The close code of what the gateway ends, as for every other WebSocket here. */
const CUT = 4001;

const query = z.strictObject({
  service: name,
  grant: grantId.optional().describe('the one of mine that may be used longest from now on unless told'),
  port: z.coerce.number().int().min(1).max(65_535).describe('where clients connect to on my machine'),
});

/**
 * One connection to a service through a WebSocket at the gateway's own host. It is asked for with the token of a tool and
 * with nothing else: a browser could be made to ask by any page (cross-site WebSocket hijacking).
 */
export function tunnelRoutes(app: ApiApp, parts: TunnelParts, visitOf: (raw: IncomingMessage) => Visit): void {
  const server = new WebSocketServer({
    ...{ ...TUNNEL_LIMITS, noServer: true, clientTracking: false },
    handleProtocols: () => TUNNEL_PROTOCOL,
  });
  const places = new Places(MOST_TUNNELS, 'tunnels');

  app.get(
    '/tunnels',
    {
      config: { name: 'tunnels.open' },
      schema: {
        summary: `a WebSocket (${TUNNEL_PROTOCOL}) that carries one connection to a service, admitted by a grant of mine`,
        querystring: query,
        response: { 101: z.null().describe('binary messages are the bytes of the connection') },
      },
    },
    async (request, reply) => {
      const actor = actorIn(request);
      const { subject, via } = actor;
      const visit = visitOf(request.raw);
      const upgrade = wanted(visit, via, request.headers);
      const { service, port } = request.query;
      const grant = grantFor(await parts.grants.list({ principal: subject, active: true }), request.query, parts);
      const take = wayTo(service, parts);
      const proof = await parts.bearers.find(secretOf(visit) ?? '', grant);
      if (proof === null) throw new DaypassError('login_over', 'This login is over.', { hint: 'Run daypass login.' });
      const { socket, head } = upgrade;
      if (socket.destroyed) return reply.hijack();
      socket.once('close', places.take(actor));
      void reply.hijack();
      detach(reply.raw, socket);
      server.handleUpgrade(request.raw, socket, head, (opened) => {
        const carrying = new Carrying(opened, upgrade, visit.client);
        // Behind a proxy the port would be the proxy's.
        const isProxied = visit.client !== socket.remoteAddress;
        const client = isProxied ? visit.client : `${visit.client}:${socket.remotePort}`;
        const { stream, began } = carrying;
        const door = `127.0.0.1:${port}`;
        take({ stream, service, proof, principal: subject, client, address: visit.client, door, began });
      });
      return reply;
    },
  );
}

/** @throws DaypassError `foreign_request`, `upgrade_required` */
function wanted({ upgrade, origins }: Visit, via: string, headers: NodeJS.Dict<string | string[]>): Upgrade {
  if (via !== 'token' || origins.length > 0)
    throw new DaypassError('foreign_request', 'Tunnels are for tools, which send a token and no Origin.', {
      hint: 'daypass connect <service>',
    });
  const offered = String(headers['sec-websocket-protocol'] ?? '').split(/ *, */);
  if (upgrade === undefined || !offered.includes(TUNNEL_PROTOCOL))
    throw new DaypassError('upgrade_required', `This is a WebSocket with the subprotocol ${TUNNEL_PROTOCOL}.`);
  return upgrade;
}

/** The grant that is meant: it need not be good, the gate asks. @throws DaypassError `no_access` */
function grantFor(
  mine: readonly GrantView[],
  { service, grant }: z.output<typeof query>,
  { clock }: TunnelParts,
): string {
  const now = clock.wall();
  const here = mine.filter((one) => one.service === service && one.notBefore <= now && one.expiresAt > now);
  const untilOf = (one: GrantView) => timeLeftOf(one, now).left;
  const best = (one: GrantView, other: GrantView) =>
    Number(one.suspendedAt !== null) - Number(other.suspendedAt !== null) || untilOf(other) - untilOf(one);
  const [last] = here.filter(({ id }) => id === (grant ?? id)).sort(best);
  if (last !== undefined) return last.id;
  const which = grant === undefined ? '' : ` by the grant ${grant}`;
  throw new DaypassError('no_access', `You have no access to ${service} now${which}.`, {
    hint: 'daypass services tells what you have; daypass request asks for more.',
  });
}

/** @throws DaypassError `shutting_down`, `no_access` */
function wayTo(service: string, { gate, policies, ways }: TunnelParts): TakeCarried {
  const take = ways.get(policies.get(service)?.protocol ?? '');
  if (!gate.isOpen || ways.size === 0)
    throw new DaypassError('shutting_down', 'The gateway is stopping, or begins just now.');
  if (take !== undefined) return take;
  throw new DaypassError('no_access', `There is no tunnel to ${service}.`);
}

/** The connection is answered by nobody else from here on. */
function detach(response: object, socket: Upgrade['socket']): void {
  if (response instanceof ServerResponse) response.detachSocket(socket);
}

/** A tunnel, and the session in it: it is closed with what that ended for. */
class Carrying {
  readonly stream: TunnelStream;
  #session: Session | null = null;

  constructor(opened: WebSocket, { socket }: Upgrade, client: string) {
    this.stream = new TunnelStream(opened, () => this.#closing());
    this.stream.remoteAddress = client;
    carriedBy(this.stream, socket);
  }

  readonly began = (session: Session): void => {
    if (session === this.#session) return;
    this.#session = session;
    // Where nothing is under way, nobody else would end it. What is under way is told first.
    session.whenEnded(() => {
      if (this.#session === session && this.#reason() !== null) setImmediate(() => endSurely(this.stream));
    });
  };

  #closing(): Closing {
    const reason = this.#reason();
    return reason === null ? { code: 1000, reason: '' } : { code: CUT, reason: `${reason}: ${CUTS[reason]}` };
  }

  #reason(): CutReason | null {
    const reason = this.#session?.end?.reason;
    return reason !== undefined && isCut(reason) ? reason : null;
  }
}

function isCut(reason: string): reason is CutReason {
  return Object.hasOwn(CUTS, reason);
}
