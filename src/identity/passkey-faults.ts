import { DaypassError } from '../errors.js';

/** How many passkeys a person may have. */
export const MOST_PASSKEYS = 20;

/** What may be refused of passkeys and invitations, in the words of the person it happens to. */
export const faults = {
  invitationOver: () =>
    new DaypassError('invitation_over', 'This invitation was used already, is too old, or was taken back.', {
      hint: 'Look whether you opened the whole link; else ask whoever invited you for a new one.',
    }),
  accountOver: () =>
    new DaypassError('account_over', 'Your account has ended or was closed.', {
      hint: 'Ask your sponsor, or an operator.',
    }),
  unknown: () =>
    new DaypassError('passkey_refused', 'The passkey is not known here, or was ended.', {
      hint: 'Try another one. Without one, ask for a new invitation.',
    }),
  known: () => new DaypassError('passkey_known', 'This passkey was registered here before.'),
  tooMany: () =>
    new DaypassError('too_many_passkeys', `There are ${MOST_PASSKEYS} passkeys already.`, {
      hint: 'Remove one you no longer use.',
    }),
  notFresh: () =>
    new DaypassError('login_not_fresh', 'This takes a login with a passkey within the last five minutes.', {
      hint: 'Log in with your passkey again.',
    }),
  noSuch: () => new DaypassError('unknown_passkey', 'There is no such passkey.'),
  last: () =>
    new DaypassError('last_passkey', 'The last passkey cannot be removed.', { hint: 'Add another one first.' }),
};
