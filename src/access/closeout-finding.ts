/** What is wrong with a close-out, one sentence for a person. */
export interface CloseOutFinding {
  readonly fault:
    | 'not_a_closeout'
    | 'wrong_type'
    | 'unknown_key'
    | 'bad_signature'
    | 'unknown_format'
    | 'record_differs'
    | 'reformatted'
    | 'page_differs'
    | 'grant_not_signed'
    | 'grant_differs'
    | 'grant_missing'
    | 'audit_line_differs'
    | 'audit_chain_broken' // lines that follow each other do not, or the log ended before them
    | 'approval_partial' // of the person themselves, or of who answers for them
    | 'approvals_missing' // fewer agreed than had to
    | 'needed_differs' // the policy asked for another number of them
    | 'allowed_differs' // more was left of the request than its approvers left
    | 'grant_exceeds' // a grant lasts longer than was agreed, or than the policy or the NDA lets it
    | 'renewal_exceeds'
    | 'renewal_differs' // a token is not what its renewal, or its replacement, makes of the one before
    | 'not_audited' // an approval or an act that no line of the audit log tells of
    | 'audited_missing' // a line tells of an approval or an act that is not in the record
    | 'export_differs'; // the export of the audit log is not whole, or has other lines
  readonly message: string;
}

export function finding(fault: CloseOutFinding['fault'], message: string): CloseOutFinding {
  return { fault, message };
}
