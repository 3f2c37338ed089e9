/** What there is to be told. */
export const NOTICE_KINDS = [
  'request.waiting',
  'request.approved',
  'request.refused',
  'request.lapsed',
  'break_glass.used',
  'grant.ending',
  'grant.ended',
  'grant.revoked',
  'grant.unused',
  'grant.wider_than_used',
  'account.ending',
  'review.due',
  'review.ended',
  'alert',
  'test',
] as const;

/** The kind of a notice. */
export type NoticeKind = (typeof NOTICE_KINDS)[number];
