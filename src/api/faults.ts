import type { z } from 'zod';
import { DaypassError, messageOf } from '../errors.js';
import { STORE_OUTAGES } from '../grant/store.js';
import { isOutage, ledgerUnavailable } from '../recording/faults.js';

/** Every error of the API, as it is sent. */
export interface Fault {
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string };
}

/** Codes that are the asker's to mend or to accept; any other is a failure of ours (500). */
const STATUS: Readonly<Record<string, number>> = {
  invalid_request: 400,
  given_up: 499,
  two_credentials: 400,
  not_logged_in: 401,
  login_over: 401,
  no_account: 403,
  no_access: 403,
  account_ended: 403,
  foreign_request: 403,
  not_allowed: 403,
  not_yours: 403,
  own_request: 403,
  sponsored_by_you: 403,
  unknown_grant: 404,
  unknown_session: 404,
  unknown_service: 404,
  unknown_role: 404,
  unknown_request: 404,
  unknown_person: 404,
  unknown_nda: 404,
  unknown_channel: 404,
  unknown_delivery: 404,
  unknown_alert: 404,
  unknown_review: 404,
  not_found: 404,
  forbidden: 403,
  invalid_sponsor: 422,
  invalid_end: 422,
  account_closed: 409,
  account_over: 409,
  directory_account: 409,
  name_taken: 409,
  unknown_rule: 404,
  duration_exceeds_policy: 422,
  total_exceeds_policy: 422,
  end_too_late: 422,
  config_invalid: 422,
  not_a_method: 405,
  revoked: 409,
  expired: 409,
  suspended: 409,
  renewals_exhausted: 409,
  already_ended: 409,
  not_failed: 409,
  no_address: 409,
  already_decided: 409,
  not_pending: 409,
  not_approved: 409,
  too_early: 409,
  too_late: 409,
  limits_changed: 409,
  second_approval_needed: 409,
  under_way: 409,
  not_repeatable: 409,
  not_json: 415,
  vague_task: 422,
  not_requestable: 422,
  starts_too_far: 422,
  invalid_period: 422,
  invalid_hours: 422,
  wider_limits: 422,
  nda_required: 422,
  nda_not_valid: 422,
  not_acknowledged: 422,
  key_used_differently: 422,
  upgrade_required: 426,
  too_many_connections: 429,
  too_many_requests: 429,
  channel_failed: 424,
  shutting_down: 503,
  clock_differs: 503,
  ledger_unavailable: 503,
  audit_unavailable: 503,
  ...Object.fromEntries(STORE_OUTAGES.map((code) => [code, 503])),
  announce_failed: 503,
  worker_unavailable: 503,
};

/** What a thrown thing looks like from outside. The socket is the operator's: messages are shown, causes are not. */
export function faultOf(thrown: unknown): { readonly status: number; readonly body: Fault } {
  if (isOutage(thrown)) return faultOf(ledgerUnavailable(thrown));
  if (thrown instanceof DaypassError) {
    const { code, message, hint } = thrown;
    return {
      status: STATUS[code] ?? 500,
      body: { error: hint === undefined ? { code, message } : { code, message, hint } },
    };
  }
  const status = clientStatus(thrown);
  if (status !== null) return { status, body: { error: { code: 'invalid_request', message: messageOf(thrown) } } };
  return {
    status: 500,
    body: { error: { code: 'internal', message: messageOf(thrown), hint: "The gateway's log says more." } },
  };
}

/** Fastify's own complaints about a request (malformed JSON, too large, a wrong content type) carry a status. */
function clientStatus(thrown: unknown): number | null {
  if (!(thrown instanceof Error) || !('statusCode' in thrown) || typeof thrown.statusCode !== 'number') return null;
  return thrown.statusCode >= 400 && thrown.statusCode < 500 ? thrown.statusCode : null;
}

/**
 * Holds something a client sent against its schema.
 * @throws DaypassError `invalid_request` naming every problem
 */
export function checked<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) =>
    path.length > 0 ? `${path.join('.')}: ${message}` : message,
  );
  throw new DaypassError('invalid_request', problems.join('; '));
}
