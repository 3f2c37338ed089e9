import { messageOf } from '../errors.js';
import type { Admission } from '../gate/admission.js';
import type { Carried } from '../gate/carried.js';
import { type Entry, enter } from './admit.js';
import { Overrides } from './body/overrides.js';
import { askAgain } from './browser/again.js';
import { serveGatewayHost } from './browser/gateway-side.js';
import { type Answer, refuse as refusals } from './browser/refusals.js';
import { beginHandover, isOwnTarget, serveOwnTarget } from './browser/service-side.js';
import type { ClientRequest } from './client/request.js';
import type { ClientResponse } from './client/response.js';
import { Exchange } from './forward.js';
import { valuesOf } from './headers/headers.js';
import { type Selected, selectCarried } from './headers/host.js';
import { actionOf, passageOf, propose } from './judge.js';
import type { HttpParts } from './parts.js';
import { type Refusal, refusalOf, sendRefusal } from './refusals/deny.js';
import { refuseOnceRecorded } from './refusals/refuse.js';
import { tellCrowded, tellEnded, tellFault } from './refusals/tell.js';
import { faultOf } from './request.js';
import { upstreamOf } from './service/target.js';
import { clientOf, protoOf } from './whence.js';

/** One request from its head to its refusal or its exchange. @param failed - hears of a fault of our own */
export function serveRequest(
  parts: HttpParts,
  req: ClientRequest,
  res: ClientResponse,
  failed: (thrown: unknown) => void,
): void {
  const { asked } = req;
  const fail = (thrown: unknown) => {
    asked.refused(); // whoever hears of it tells of it
    failed(thrown);
    asked.settle();
  };
  try {
    const serving = serveAsked(parts, req, res);
    if (serving === undefined) asked.settle();
    else serving.then(() => asked.settle(), fail);
  } catch (thrown) {
    fail(thrown);
  }
}

/** Answers without waiting what comes of a session that is live already: the way of nearly every request. */
function serveAsked(parts: HttpParts, req: ClientRequest, res: ClientResponse): undefined | Promise<void> {
  const asking: AskingRequest = { req, res, arrivedAt: parts.monotonic(), client: clientOf(req) };
  const { head, headers, target } = req;
  const carried = parts.carried.get(req.socket);
  const selected = carried === undefined ? head.selected : selectCarried(headers, carried);
  const fault = faultOf(target, head);
  // Of a head that was too long there is enough for what is our own.
  if (fault !== null && !(head.isCut && isOwnTarget(target))) {
    tellFault(parts, req, fault);
    refuse(asking, fault, true); // what would follow might be part of it
    return;
  }
  if (selected.kind === 'gateway' || isOwnTarget(target)) return serveOwn(parts, asking, selected, carried);
  return serveService(parts, asking, selected, carried);
}

/** A request on its way in. */
interface AskingRequest {
  readonly req: ClientRequest;
  readonly res: ClientResponse;
  /** When its head was read, on the monotonic clock. */
  readonly arrivedAt: number;
  readonly client: string;
}

function refuse({ req, res }: AskingRequest, refusal: Refusal, close = req.hasBody): void {
  req.asked.refused();
  sendRefusal(res, refusal, close);
  req.drop();
}

function serveService(
  parts: HttpParts,
  asking: AskingRequest,
  selected: Selected,
  carried: Carried | undefined,
): undefined | Promise<void> {
  const { req, client } = asking;
  const entering = enter(parts, selected, { method: req.method, head: req.head, client, carried });
  if (entering instanceof Promise) return entering.then((entry) => serveEntered(parts, asking, selected, entry));
  return serveEntered(parts, asking, selected, entering);
}

function serveEntered(
  parts: HttpParts,
  asking: AskingRequest,
  selected: Selected,
  entry: Entry,
): undefined | Promise<void> {
  const { req, res } = asking;
  if (!entry.ok) {
    if (entry.mayLogIn && selected.kind === 'service') {
      beginHandover(parts, selected, res, { target: req.target, cookies: valuesOf(req.headers, 'cookie') });
      req.drop();
      return;
    }
    if (selected.kind === 'gateway') tellFault(parts, req, entry.refusal);
    refuse(asking, entry.refusal, selected.kind === 'invalid' || req.hasBody);
    return;
  }
  const { admission } = entry;
  const { session } = admission;
  if (!req.letIn(session.grant.principal)) {
    refuse(asking, tellCrowded(parts, req, session), true);
    return;
  }
  // Before the decision, so that nothing can come between it and its release.
  const asserting = parts.identity.assertion(session);
  if (typeof asserting !== 'string')
    return asserting.then((assertion) => serveAdmitted(parts, asking, admission, assertion));
  serveAdmitted(parts, asking, admission, asserting);
  return;
}

function serveAdmitted(parts: HttpParts, asking: AskingRequest, admission: Admission, assertion: string): void {
  const { req, res, arrivedAt, client } = asking;
  const { session } = admission;
  if (res.isGone || req.asked.isBroken) return;
  if (!session.isLive()) {
    const end = tellEnded(parts, req, session);
    if (askAgain(res, end.reason)) req.drop();
    else refuse(asking, end);
    return;
  }
  const action = actionOf(req, req.method, client, admission);
  const passage = passageOf(session, parts.log);
  const { decision, seq } = propose(parts, passage, action);
  if (decision.outcome !== 'allow' || !action.target.ok) {
    req.asked.refused();
    refuseOnceRecorded(passage, req.socket, refusalOf(decision, session.id), (said) => refuse(asking, said));
    return;
  }
  const { path, query } = action.target;
  const origin = { client, host: req.head.host, proto: protoOf(req), assertion };
  const upstream = upstreamOf(admission);
  const forward = {
    method: action.method,
    path: path + query,
    addressed: upstream.addressedAs(origin.host),
    lines: req.head.forwarded(upstream, session, origin),
  };
  const { upstreams, monotonic, log, faults } = parts;
  const { rule, obligations } = decision;
  const exchange = new Exchange({
    req,
    res,
    admission,
    passage,
    action,
    seq,
    rule,
    obligations,
    overrides: req.hasBody ? Overrides.of(parts, passage, action, seq) : null,
    forward,
    arrivedAt,
    upstreams,
    monotonic,
    log,
    faults,
  });
  passage.release(() => exchange.start());
}

/** Where services find the keys that assertions are verified with (RFC 8615). */
const KEYS_PATH = '/.well-known/jwks.json';

function sendKeys(res: ClientResponse, keys: string): void {
  res.send(200, { 'content-type': 'application/jwk-set+json', 'cache-control': 'public, max-age=300' }, keys);
}

/** What the gateway answers itself: the pages of its own host, and its paths at the hosts of services. */
async function serveOwn(
  parts: HttpParts,
  asking: AskingRequest,
  selected: Selected,
  carried: Carried | undefined,
): Promise<void> {
  const { req, res } = asking;
  if (selected.kind === 'gateway' && req.target === KEYS_PATH && /^(GET|HEAD)$/.test(req.method)) {
    sendKeys(res, await parts.identity.keys);
    return req.drop();
  }
  const own = carried === undefined ? await answerOwn(parts, selected, req, res) : { refusal: refusals.nothingHere() };
  if (own === null) return serveService(parts, asking, selected, carried);
  if (own.refusal === null) req.drop();
  else refuse(asking, own.refusal);
}

/** @returns null for what is not its own */
async function answerOwn(
  parts: HttpParts,
  selected: Selected,
  req: ClientRequest,
  res: ClientResponse,
): Promise<{ readonly refusal: Answer } | null> {
  if (selected.kind !== 'gateway' && selected.kind !== 'service') return null;
  try {
    const answered =
      selected.kind === 'gateway'
        ? await serveGatewayHost(parts, req, res)
        : { refusal: await serveOwnTarget(parts, selected, req, res) };
    if (answered?.refusal) tellFault(parts, req, answered.refusal);
    return answered;
  } catch (thrown) {
    parts.log.error({ err: messageOf(thrown) }, 'a page of the gateway could not be served');
    const refusal = refusals.notNow();
    tellFault(parts, req, refusal);
    return { refusal };
  }
}
