import { unescaped } from './escapes.js';

/**
 * The method that a service takes from somewhere else than the request line: it would do something else than what was decided on
 * (THREATS.md A1).
 */

/** Those of HTTP that a rule may be for. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/**
 * `_method`, `__method_override__`; `_HttpMethod` of Salesforce; `x-tunneled-method` of Plack and Catalyst; the headers' names, which
 * ASP.NET takes from queries and forms, too; Camel's for another method of a bean (before 4.10.2).
 */
const OVERRIDE =
  /^[^a-z0-9_.-]*(?:[_.]+(?:http_?)?method(?:_override_*)?|x-(?:http-|tunneled-)?method(?:-override)?|camelbeanmethodname)(?:[^a-z0-9_-]*(?:[=[]|$)|\0)/i;

/** The same of Alfresco, whose own pages say it in queries, PrestaShop (`ps.method`, too: PHP) and ATG: there it is decided on (see `besides`). */
export const DECIDED_METHOD = '(?:(?:alf|ps)[_. [+]|atg-rest-http-)method';
const DECIDED = new RegExp(`^[^a-z0-9_.-]*${DECIDED_METHOD}(?:[^a-z0-9_-]*(?:[=[]|$)|\\0)`, 'i');

/** Whether a parameter, `name=value` with its escapes undone, names a method; PHP reads `.method` and `_method\0x` as `_method`, too. */
export function namesMethod(parameter: string): boolean {
  return OVERRIDE.test(parameter) || DECIDED.test(parameter);
}

/** The method that a service would read there; no rule is for `UNKNOWN`. */
export function methodNamed(value: string): string {
  const method = value.trim().toUpperCase();
  return METHODS.includes(method) ? method : 'UNKNOWN';
}

/** What cookies `_method` ask for: `$_REQUEST` of PHP gives them out as fields of that name (see `readCookieNames`). */
export function methodsInCookie(header: string): readonly string[] {
  const plain = unescaped(header);
  if (!/method/i.test(plain)) return [];
  const cookies = plain.split(';').filter(namesMethod);
  return [...new Set(cookies.map((cookie) => methodNamed(cookie.slice(cookie.indexOf('=') + 1))))];
}

/** @param query - with its `?`, or empty */
export function overridesMethod(query: string): boolean {
  if (query === '') return false;
  const plain = unescaped(query);
  return /method/i.test(plain) && plain.split(/[?&;]/).some((parameter) => OVERRIDE.test(parameter));
}
