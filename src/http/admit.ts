import type { Admission } from '../gate/admission.js';
import type { Gate } from '../gate/gate.js';
import type { DenialReason } from '../policy/reason.js';
import type { Header } from './action.js';
import { readCredential } from './credential.js';
import { type Refusal, refusalFor, refusalOf } from './deny.js';
import type { Selected } from './host.js';

/** Who is let in to what; never thrown, always answered. */
export type Entry =
  | { readonly ok: true; readonly admission: Admission }
  | { readonly ok: false; readonly refusal: Refusal };

/**
 * Admits a request to the service its Host selects. Answers without waiting when the grant's session is live already, which
 * is the way of every request but the first.
 */
export function enter(
  gate: Gate,
  selected: Selected,
  headers: readonly Header[],
  client: string,
): Entry | Promise<Entry> {
  const away = (service: string, reason: DenialReason) =>
    gate.turnedAway({ service, credential: null, client }, { reason, rule: 'admission' });
  if (selected.kind !== 'service') {
    if (selected.kind === 'unknown') away(selected.host, 'unknown_service');
    if (selected.kind === 'invalid') away('', 'malformed');
    return { ok: false, refusal: refusalOfHost(selected) };
  }
  const credential = readCredential(headers);
  if (credential === null) {
    away(selected.name, 'malformed');
    return {
      ok: false,
      refusal: refusalFor('malformed', 'The request presents more than one handle.', { hint: 'send one' }),
    };
  }
  const { presented } = credential;
  const live = presented === null ? null : gate.admitted(selected.name, presented);
  if (live !== null) return { ok: true, admission: live };
  return gate
    .admit({ protocol: 'http', service: selected.name, credential: presented, client, shared: true })
    .then((answer) => (answer.ok ? answer : { ok: false, refusal: refusalOf(answer.decision) }));
}

function refusalOfHost(selected: Exclude<Selected, { kind: 'service' }>): Refusal {
  if (selected.kind === 'invalid')
    return { status: 400, reason: 'bad_request', detail: 'The Host of this request is not understood.' };
  if (selected.kind === 'unknown') {
    return refusalFor('unknown_service', 'There is no service of this name here.', {
      hint: 'check the host name of the address',
    });
  }
  return {
    status: 404,
    reason: 'not_found',
    detail: 'This is a Daypass gateway. Services are reached at <service>.<this host>.',
    hint: 'use the address you were given with your handle',
  };
}
