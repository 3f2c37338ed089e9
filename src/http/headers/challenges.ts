/*
 * A service's own challenges (`WWW-Authenticate`, RFC 9110 section 11.6.1) where a client's `Authorization` does not reach it. Asked for a password a
 * browser asks its person, and sends what was typed with everything from then on: to the gateway, whose it is not. So those that
 * browsers know are not passed on, to nobody, since nobody's answer would arrive. Others (`Bearer`) nobody is asked about, and they may say what is
 * wrong.
 */

/** The schemes for which a browser asks its person, or answers by itself. */
const ASKING = new Set(['basic', 'digest', 'negotiate', 'ntlm']);
/** What stands between the commas of a list; those in a quoted string part nothing. */
const MEMBER = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g;
/** How a challenge begins: a scheme, and behind it nothing, or after blanks what makes it no parameter. */
const SCHEME = /^[\t ]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?=[\t ]*$|[\t ]+[^\t =])/;

/** A value of `WWW-Authenticate`, taken apart. */
export interface Challenges {
  /** The challenges that go on, as a value; empty when none does. */
  readonly passed: string;
  /** The schemes of the others, in lower case. */
  readonly withheld: readonly string[];
}

export function readChallenges(value: string): Challenges {
  const passed: string[] = [];
  const withheld: string[] = [];
  let isWithheld = false;
  for (const member of value.match(MEMBER) ?? []) {
    const scheme = SCHEME.exec(member)?.[1]?.toLowerCase();
    // Parameters belong to the challenge before them.
    if (scheme !== undefined) isWithheld = ASKING.has(scheme);
    if (!isWithheld) passed.push(member.trim());
    else if (scheme !== undefined) withheld.push(scheme);
  }
  return { passed: passed.join(', '), withheld };
}
