/** Something of this stands in every name of a credential: what is without it need not be looked at name by name. */
export const SECRET_PART =
  /pass|pwd|secret|token|key|sig|credential|auth|code|jw[st]|session|sess_?id|sid|pin|otp|csrf|xsrf|crumb|bearer|dpop|cvv|cvc|mfa|cookie|assertion|saml/i;

/** Wherever it stands in a name, in whatever case and with whatever between its words. */
const ANYWHERE =
  /pass(?:word|wd|phrase|code)|secret|token|apikey|signature|credential|authorization|samlresponse|sess(?:ion)?id|codeverifier/;
/** Keys that open something; `key` alone is a word for anything. */
const OPENING_KEY =
  /(?:private|access|account|master|encryption|signing|subscription|functions?|shared|auth|application|app|customer|client|session|storage|ssh|service|license|consumer|deploy|admin|developer|integration)key$/;
/** As the last word of a name. */
const LAST_WORD =
  /(?:^|-)(?:auth|authentication|sig|jwt|jws|session|sid|pin|otp|totp|csrf|xsrf|crumb|bearer|dpop|cvv2?|cvc2?|mfa|cookies?2?|assertion)$|pass$|pwd$|(?:^|-)pwd-/;
/** Codes that prove something; `code` alone is one that is exchanged for a token. */
const PROVING_CODE =
  /^code$|(?:^|-)(?:otp|totp|mfa|2fa|auth|verification|security|recovery|backup|access|login|device|user|invite|activation|confirmation|reset|sms|pin|one-?time)-?code$/;

/** Whether a member, a parameter, a field or a header is named like a credential; of `user[password]` the last part counts. */
export function isSecretName(name: string): boolean {
  if (!SECRET_PART.test(name)) return false;
  const known = KNOWN.get(name);
  if (known !== undefined) return known;
  const isSecret = isNamedSo(name);
  if (KNOWN.size < MOST_KNOWN && name.length <= LONGEST_KNOWN) KNOWN.set(name, isSecret);
  return isSecret;
}

/** The names that were seen first: most are seen again and again. */
const KNOWN = new Map<string, boolean>();
const MOST_KNOWN = 1_000;
const LONGEST_KNOWN = 64;

function isNamedSo(name: string): boolean {
  const plain = withoutIndices(name);
  if (isSecretWord(plain)) return true;
  const last = plain.slice(0, endWithout(plain, /[[\]]/)).split(/[[.]/);
  return last.length > 1 && isSecretWord(last.at(-1) ?? '');
}

/** Without the `[0][]` at its end. A pattern would run through a name of a megabyte from each of its characters. */
function withoutIndices(name: string): string {
  let end = name.length;
  while (name.charAt(end - 1) === ']') {
    const open = endWithout(name, /\d/, end - 1) - 1;
    if (name.charAt(open) !== '[') break;
    end = open;
  }
  return name.slice(0, end);
}

/** Where a text ends without such characters behind it. */
function endWithout(text: string, character: RegExp, end = text.length): number {
  let at = end;
  while (at > 0 && character.test(text.charAt(at - 1))) at -= 1;
  return at;
}

function isSecretWord(name: string): boolean {
  const flat = name.toLowerCase().replace(/[^a-z0-9]+/g, '');
  if (ANYWHERE.test(flat) || OPENING_KEY.test(flat)) return true;
  const words = wordsOf(name);
  return LAST_WORD.test(words) || PROVING_CODE.test(words);
}

/** `userPIN`, `user_pin` and `User Pin` are all `user-pin`; numbers at the end do not count. */
function wordsOf(name: string): string {
  const apart = name.replace(/([a-z0-9])([A-Z])/g, '$1-$2').replace(/([A-Z])([A-Z][a-z])/g, '$1-$2');
  const words = apart.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  while (words.length > 1 && /^\d+$/.test(words.at(-1) ?? '')) words.pop();
  return words.join('-');
}

/** What some products call a credential. */
const KEY = /key$|-art-api$|-oidc-data$/;
/** Of headers those that end in `key` are credentials, but for these. */
const HARMLESS_KEY = /(?:websocket|idempotency|surrogate|partition|routing|cache)-key$/;

/** @param plain - canonical name of a header */
export function isSecretHeaderName(plain: string): boolean {
  return isSecretName(plain) || (KEY.test(plain) && !HARMLESS_KEY.test(plain));
}
