import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Grant } from './grant.js';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const ID_LENGTH = 22;
const SECRET_LENGTH = 43;
const ID = /^[0-9A-Za-z]{22}$/;
const HANDLE = /^dp_([0-9A-Za-z]{22})_([0-9A-Za-z]{43})$/;

/** What a client presents, taken apart. The secret goes nowhere but `secretMatches`. */
export interface Handle {
  readonly id: string;
  readonly secret: string;
}

/** A new grant id: 16 random bytes in base62. */
export function mintId(): string {
  return base62(randomBytes(16), ID_LENGTH);
}

/** A new secret: 32 random bytes in base62. */
export function mintSecret(): string {
  return base62(randomBytes(32), SECRET_LENGTH);
}

/** The text a person pastes: `dp_<id>_<secret>`, 69 characters. */
export function formatHandle(handle: Handle): string {
  return `dp_${handle.id}_${handle.secret}`;
}

/** Takes a handle apart; anything but the exact form is null. */
export function parseHandle(text: string): Handle | null {
  const [, id, secret] = HANDLE.exec(text) ?? [];
  return id === undefined || secret === undefined ? null : { id, secret };
}

/** Whether a text has the form of a grant id (safe in a Redis key). */
export function isGrantId(text: string): boolean {
  return ID.test(text);
}

/** What the signed token says of the secret: SHA-256 of its text. */
export function confirmationOf(secret: string): Uint8Array {
  return hash('sha256', secret, 'buffer');
}

/** Whether this secret is the grant's own; takes the same time whatever differs. */
export function secretMatches(grant: Pick<Grant, 'confirmation'>, secret: string): boolean {
  const given = hash('sha256', secret, 'buffer');
  return given.length === grant.confirmation.length && timingSafeEqual(given, grant.confirmation);
}

function base62(bytes: Uint8Array, length: number): string {
  let number = BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  let text = '';
  while (text.length < length) {
    text = ALPHABET.charAt(Number(number % 62n)) + text;
    number /= 62n;
  }
  return text;
}
