/**
 * What pages with a passkey's button run; each page has the elements it is about. Options and answers are turned into bytes and
 * back here, in the same way in every browser: `parseCreationOptionsFromJSON` and `toJSON` are missing in some.
 */
export const PASSKEY_SCRIPT = `
const find = (selector) => document.querySelector(selector);
const say = (text) => { find('[role=status]').textContent = text; };
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (one) => one.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/[+]/g, '-').replace(/[/]/g, '_').replace(/=/g, '');
const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
const ask = async (path, body) => {
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
  const told = await answer.json();
  if (!answer.ok) throw new Error([told.detail, told.hint].filter(Boolean).join(' '));
  return told;
};
const answered = (credential, names) => ({
  id: credential.id, rawId: text(credential.rawId), type: credential.type,
  response: Object.fromEntries(names.filter((name) => credential.response[name]).map((name) => [name, text(credential.response[name])])),
});
const create = async (place, more) => {
  const { options } = await ask(place + '/begin', more);
  const { challenge, user, excludeCredentials } = options;
  const publicKey = { ...options, challenge: bytes(challenge), user: { ...user, id: bytes(user.id) }, excludeCredentials: named(excludeCredentials) };
  const made = await navigator.credentials.create({ publicKey });
  return ask(place + '/finish', { ...more, answer: answered(made, ['clientDataJSON', 'attestationObject']) });
};
const use = async () => {
  const { options } = await ask('/login/begin', {});
  const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: named(options.allowCredentials) };
  const used = await navigator.credentials.get({ publicKey });
  return ask('/login/finish', { answer: answered(used, ['clientDataJSON', 'authenticatorData', 'signature', 'userHandle']) });
};
const on = (button, work) => button && button.addEventListener('click', async () => {
  button.disabled = true;
  say('');
  try {
    if (!window.PublicKeyCredential) throw new Error('This browser has no passkeys.');
    location.assign((await work()) || '/');
  } catch (error) {
    say(error.name === 'NotAllowedError' ? 'Nothing was done: no passkey was chosen, or it took too long.'
      : error.name === 'InvalidStateError' ? 'This authenticator has a passkey of yours already.' : error.message);
  }
  button.disabled = false;
});
on(find('#use'), async () => { await use(); return find('#use').dataset.to; });
on(find('#add'), async () => { await create('/passkeys', {}); return '/passkeys'; });
for (const button of document.querySelectorAll('[data-remove]'))
  on(button, async () => { await ask('/passkeys/remove', { id: button.dataset.remove }); return '/passkeys'; });
`;

/** As `PASSKEY_SCRIPT` for the page of an invitation, whose secret it takes out of the address line first. */
export const INVITE_SCRIPT = `${PASSKEY_SCRIPT}
const secret = location.hash.slice(1);
history.replaceState(null, '', '/invite');
on(find('#create'), async () => { await create('/invite', { secret }); });
ask('/invite/show', { secret }).then(({ name, subject, by, endsAt, expiresAt }) => {
  find('#who').textContent = name + ', ' + by + ' invites you to this gateway. Your name here is ' + subject + '.';
  find('#until').textContent = (endsAt ? 'Your account ends ' + endsAt + '. ' : '') + 'The invitation may be used once, until ' + expiresAt + '.';
  find('#invited').hidden = false;
}).catch((error) => say(error.message));
`;
