/** Why something was refused. One closed list: every protocol has a wire form for each of them. */
export type DenialReason =
  | 'malformed'
  | 'unknown_grant'
  | 'not_yet'
  | 'expired'
  | 'revoked'
  | 'suspended'
  | 'outside_hours'
  | 'unknown_service'
  | 'wrong_service'
  | 'wrong_principal'
  | 'out_of_scope'
  | 'unparsable'
  | 'unknown_effect'
  | 'ambiguous_target'
  | 'too_large'
  | 'too_many'
  | 'store_unavailable'
  | 'recorder_unavailable'
  | 'upstream_unavailable';

/** Why the gateway ended a live session. */
export type CutReason =
  | 'expired'
  | 'revoked'
  | 'unknown_grant'
  | 'suspended'
  | 'hours_over'
  | 'logged_out'
  | 'replaced'
  | 'policy_gone'
  | 'stale'
  | 'recorder_stalled'
  | 'tripwire'
  | 'ended'
  | 'shutdown';

/** How a session came to its end: never let in, cut by the gateway, left by the client, lost with its gateway. */
export type EndReason =
  | CutReason
  | 'refused'
  | 'client_left'
  | 'upstream_closed'
  | 'protocol_error'
  | 'idle'
  | 'interrupted';

/** The two wire forms of a denial (DETAILS.md, "Reasons → HTTP / SQLSTATE"). */
export interface WireForm {
  readonly status: number;
  readonly sqlstate: string;
}

export const DENIALS: Readonly<Record<DenialReason, WireForm>> = {
  malformed: { status: 401, sqlstate: '28P01' },
  unknown_grant: { status: 401, sqlstate: '28P01' },
  not_yet: { status: 401, sqlstate: '28P01' },
  expired: { status: 401, sqlstate: '28P01' },
  revoked: { status: 401, sqlstate: '28P01' },
  suspended: { status: 401, sqlstate: '28P01' },
  outside_hours: { status: 401, sqlstate: '28P01' },
  unknown_service: { status: 421, sqlstate: '3D000' },
  wrong_service: { status: 403, sqlstate: '28000' },
  wrong_principal: { status: 403, sqlstate: '28000' },
  out_of_scope: { status: 403, sqlstate: '42501' },
  unparsable: { status: 403, sqlstate: '42501' },
  unknown_effect: { status: 403, sqlstate: '42501' },
  ambiguous_target: { status: 400, sqlstate: '42501' },
  too_large: { status: 413, sqlstate: '54000' },
  too_many: { status: 429, sqlstate: '53300' },
  store_unavailable: { status: 503, sqlstate: '57P03' },
  recorder_unavailable: { status: 503, sqlstate: '57P03' },
  upstream_unavailable: { status: 502, sqlstate: '08006' },
};

/** One sentence a person can act on for each way the gateway ends a session. */
export const CUTS: Readonly<Record<CutReason, string>> = {
  expired: 'the grant has expired',
  revoked: 'the grant was revoked',
  unknown_grant: 'the grant is known no more',
  suspended: 'the grant was suspended',
  hours_over: 'the hours of the grant are over',
  logged_out: 'the person logged out, or the login ended',
  replaced: 'the person opened the service anew, by another grant or in too many browsers',
  policy_gone: 'the policy no longer allows this session',
  stale: 'the gateway could not confirm the grant for too long',
  recorder_stalled: 'the session could not be recorded in time',
  tripwire: 'the upstream session left the state the policy requires',
  ended: 'the session was ended by an operator',
  shutdown: 'the gateway is shutting down',
};
