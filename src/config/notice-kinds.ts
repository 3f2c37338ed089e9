const REQUEST = ['request', 'person', 'service', 'role', 'task', 'sponsor', 'begins', 'ends', 'lasts', 'link'] as const;
const GRANT = ['grant', 'person', 'service', 'role', 'task', 'sponsor', 'ends'] as const;
const REVIEW = ['review', 'grant', 'person', 'service'] as const;

/** What there is to be told, and the fields that each text may name. Times are ISO 8601, UTC. */
export const NOTICE_FIELDS = {
  'request.waiting': [...REQUEST, 'decide_by', 'needed', 'given', 'decide'],
  'request.approved': [...REQUEST, 'by', 'connect'],
  'request.refused': [...REQUEST, 'by', 'reason'],
  'request.lapsed': [...REQUEST, 'decide_by'],
  'break_glass.used': [...REQUEST, 'grant', 'by'],
  'grant.ending': [...GRANT, 'minutes'],
  'grant.ended': [...GRANT],
  'grant.revoked': [...GRANT, 'by', 'reason'],
  'grant.unused': [...GRANT, 'how_far'],
  'grant.wider_than_used': [...GRANT, 'granted', 'used', 'unused'],
  'account.ending': ['person', 'name', 'sponsor', 'ends', 'days'],
  'review.due': [...REVIEW, 'due', 'granted', 'used'],
  'review.ended': [...REVIEW, 'answer', 'by', 'reason'],
  alert: ['alert', 'rule', 'person', 'service', 'grant', 'session', 'what', 'at'],
  test: ['channel', 'by', 'at'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** The kind of a notice. */
export type NoticeKind = keyof typeof NOTICE_FIELDS;

// Of an object that is written out here the keys are these; `Object.keys` is typed for any.
export const NOTICE_KINDS = Object.freeze(Object.keys(NOTICE_FIELDS)) as readonly NoticeKind[];

/** What only its person can do something about; channels that many read leave it out unless told. */
const PERSONAL: readonly NoticeKind[] = ['request.approved', 'request.refused', 'grant.ending', 'grant.ended'];

export const SHARED_KINDS: readonly NoticeKind[] = NOTICE_KINDS.filter((kind) => !PERSONAL.includes(kind));

/** `{{field}}`; blanks around the name do no harm. */
export const PLACEHOLDER = /\{\{\s*([^{}\s]*)\s*\}\}/g;
