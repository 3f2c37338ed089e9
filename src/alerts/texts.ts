import type { NoticeKind } from '../config/notice-kinds.js';
import type { NoticeTemplate } from '../config/notices.js';

const GRANT = `Role: {{role}}
Task: {{task}}
Grant: {{grant}}`;

/** What is told where the configuration has no words of its own. Each field is one of `NOTICE_FIELDS`, which a test holds. */
export const TEXTS: Readonly<Record<NoticeKind, NoticeTemplate>> = {
  'request.waiting': {
    subject: '{{person}} asks for {{service}}',
    text: `{{person}} asks for {{service}} as {{role}}, from {{begins}}, for {{lasts}}.
Task: {{task}}
Sponsor: {{sponsor}}
Approvals: {{given}} of {{needed}}. It lapses at {{decide_by}}.

{{link}}
{{decide}}`,
  },
  'request.approved': {
    subject: 'Your access to {{service}} is approved',
    text: `You may use {{service}} as {{role}}, from {{begins}}, for {{lasts}}.
Task: {{task}}
Approved by: {{by}}

Paste this to begin:
{{connect}}`,
  },
  'request.refused': {
    subject: 'Your access to {{service}} is refused',
    text: `{{by}} refused your request for {{service}} as {{role}}: {{reason}}
Task: {{task}}`,
  },
  'request.lapsed': {
    subject: 'A request for {{service}} lapsed',
    text: `Nobody decided until {{decide_by}} about the request of {{person}} for {{service}} as {{role}}. Whoever needs it asks anew.
Task: {{task}}`,
  },
  'break_glass.used': {
    subject: 'Emergency access to {{service}} by {{person}}',
    text: `{{person}} began emergency access to {{service}} as {{role}}: nobody agreed to it. It lasts until {{ends}}.
Task: {{task}}
Grant: {{grant}}
It is to be reviewed: {{link}}`,
  },
  'grant.ending': {
    subject: 'Access to {{service}} ends in {{minutes}} min',
    text: `The access of {{person}} to {{service}} ends at {{ends}}, in about {{minutes}} min. Open connections are cut then.
${GRANT}`,
  },
  'grant.ended': {
    subject: 'Access to {{service}} has ended',
    text: `The access of {{person}} to {{service}} ended at {{ends}}.
${GRANT}`,
  },
  'grant.revoked': {
    subject: 'Access to {{service}} was revoked',
    text: `{{by}} revoked the access of {{person}} to {{service}}: {{reason}}
${GRANT}`,
  },
  'grant.unused': {
    subject: 'Access to {{service}} was not used by {{person}}',
    text: `The access of {{person}} to {{service}} is {{how_far}}, and was not used. It ends at {{ends}}.
${GRANT}`,
  },
  'grant.wider_than_used': {
    subject: 'Access to {{service}} was wider than needed by {{person}}',
    text: `{{person}} was granted {{granted}} rules of {{service}}, and used {{used}}. Not used: {{unused}}
${GRANT}`,
  },
  'account.ending': {
    subject: 'The account of {{person}} ends soon',
    text: `The account of {{person}} ends at {{ends}}, in {{days}} days or less. Whoever answers for them ({{sponsor}}) may extend it:
daypass people extend {{person}}`,
  },
  'review.due': {
    subject: 'Review: {{person}} on {{service}}',
    text: `Does {{person}} still need {{service}}? Granted {{granted}} rules, used {{used}}. Without an answer the access ends at {{due}}. Which were used:
daypass reviews list --json
To keep or to end it:
daypass reviews confirm {{review}}
daypass reviews end {{review}}
Grant: {{grant}}`,
  },
  'review.ended': {
    subject: 'A review ended the access of {{person}} to {{service}}',
    text: `The access of {{person}} to {{service}} was ended by {{by}}: {{reason}}
Grant: {{grant}}
Review: {{review}}`,
  },
  alert: {
    subject: 'Alert {{rule}}: {{person}} on {{service}}',
    text: `{{what}}
Person: {{person}}
Service: {{service}}
Grant: {{grant}}
Session: {{session}}
At: {{at}}
Alert: {{alert}}`,
  },
  test: {
    subject: 'A test of Daypass',
    text: '{{by}} tests the channel {{channel}}, at {{at}}. Nothing is to be done.',
  },
};
