import type { OidcSettings } from '../config/people.js';

/** What the directory says of somebody. */
export interface Told {
  readonly issuer: string;
  /** `sub`: the directory's own name for them, which never changes. */
  readonly sub: string;
  /** The session at the directory, when it names one. */
  readonly sid: string | null;
  /** The name they are to have here; null when there is none. */
  readonly subject: string | null;
  readonly name: string | null;
  readonly email: string | null;
  readonly groups: readonly string[];
}

export type Claims = Readonly<Record<string, unknown>>;

/** Longer names are cut, more groups are left out: fewer groups are fewer rights. */
const LONGEST_NAME = 200;
const MOST_GROUPS = 1_000;
/** Control characters and halves of a character. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Reads the claims that the settings name. @param claims - of a verified ID token, and of UserInfo below it */
export function readClaims(issuer: string, sub: string, claims: Claims, settings: OidcSettings): Told {
  const { subjectClaim, nameClaim, groupsClaim } = settings;
  return {
    ...{ issuer, sub, sid: textOf(claims.sid) },
    subject: textOf(claims[subjectClaim]),
    name: textOf(claims[nameClaim])?.replace(UNSAFE, ' ').slice(0, LONGEST_NAME) ?? null,
    email: textOf(claims.email)?.replace(UNSAFE, '').slice(0, LONGEST_NAME) ?? null,
    groups: groupsOf(claims[groupsClaim]),
  };
}

/** An array of names, or one name; anything else in it is nobody's group. */
function groupsOf(claim: unknown): readonly string[] {
  const listed = Array.isArray(claim) ? claim : [claim];
  const names = listed.filter((one): one is string => typeof one === 'string' && /^[^\p{Cc}\p{Cs}]{1,200}$/u.test(one));
  return [...new Set(names)].slice(0, MOST_GROUPS);
}

function textOf(claim: unknown): string | null {
  return typeof claim === 'string' && claim !== '' ? claim : null;
}
