import type { Injected } from '../config/secret.js';
import type { HttpUpstream } from './service/target.js';

/** What stands in an injected header is a secret whatever its name: the value whole, and the credential within it. */
export function injected({ headers }: HttpUpstream): readonly Injected[] {
  return headers.map(([, value]) => ({ value, forms: [value, ...credentialsIn(value)] }));
}

/** A scheme and its credentials (RFC 9110 section 11.4); those of Basic as they are typed in, too (RFC 7617). */
function credentialsIn(value: string): readonly string[] {
  const [, scheme = '', token] = /^([A-Za-z][A-Za-z0-9-]*)[ \t]+(\S+)[ \t]*$/.exec(value) ?? [];
  if (token === undefined) return [];
  if (scheme.toLowerCase() !== 'basic') return [token];
  const typed = Buffer.from(token, 'base64').toString('utf8');
  const password = typed.slice(typed.indexOf(':') + 1);
  return [token, typed, password];
}
