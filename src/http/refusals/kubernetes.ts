import type { Header } from '../action.js';
import { valuesOf } from '../headers/headers.js';
import type { Refusal, Refused, Wording } from './deny.js';

/*
 * Refusals for clients of Kubernetes. kubectl and whatever else is made of client-go decode one form of an error, the API server's own
 * `Status`; everything else they call "unknown".
 */

/** What client-go says of itself (`DefaultKubernetesUserAgent`), and Helm, which is made of it and gives another name. */
const CLIENT_GO = /\) kubernetes\/|^Helm\//;
/** Forms that nobody else asks for, also from those that call themselves otherwise: `as=Table;g=meta.k8s.io`, protobuf. */
const ITS_FORMS = /\bk8s\.io\b|\bvnd\.kubernetes\b/;

/** Whether a client reads a `Status`. A guess from what anybody may say: on it depends the form of a refusal, and nothing else. */
export function readsStatus(headers: readonly Header[]): boolean {
  return (
    valuesOf(headers, 'user-agent').some((value) => CLIENT_GO.test(value)) ||
    valuesOf(headers, 'accept').some((value) => ITS_FORMS.test(value))
  );
}

/** Kubernetes' own words (`metav1.StatusReason`) for a status; it has none for others, and 502 is what it says 503 for. */
const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  413: 'RequestEntityTooLarge',
  429: 'TooManyRequests',
  431: 'RequestEntityTooLarge',
  500: 'InternalError',
  502: 'ServiceUnavailable',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** Where a cluster tells of itself. client-go takes these answers raw, and looks for no `Status` in what is none of them. */
const DISCOVERY = /^\/(?:version|apis?|openapi\/[^?]*)(?:\?|$)/;

/** kubectl asks by SPDY once more for what it was refused as a WebSocket, and shows the second refusal alone; before 1.31 it asks so first. */
const NO_SPDY = 'SPDY is not spoken here: kubectl 1.31 and later ask by WebSocket, which a role allows as WS.';

/**
 * A refusal as a `Status` (kubernetes/apimachinery, `pkg/apis/meta/v1/types.go`): its message is all that kubectl prints, so all that a person
 * needs stands in it. Our own reason and rule are its cause. Of a 403 to discovery client-go shows only what is text.
 * @param said - what happened and what to do, in sentences
 */
export function wordStatus(refusal: Refusal, said: string, { target, headers }: Refused): Wording {
  const { status, reason, rule, session } = refusal;
  const isSpdy = status === 403 && valuesOf(headers, 'upgrade').some((value) => /^spdy\//i.test(value));
  const message = `${said}${isSpdy ? ` ${NO_SPDY}` : ''} (Daypass: ${reason}${session === undefined ? '' : `, session ${session}`})`;
  if (status === 403 && DISCOVERY.test(target)) return { type: 'text/plain; charset=utf-8', body: `${message}\n` };
  const object = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: REASONS[status],
    details: { causes: [{ reason, message: rule }], retryAfterSeconds: refusal.retryAfter },
    code: status,
  };
  return { type: 'application/json', body: `${JSON.stringify(object)}\n` };
}
