import type { RequestAction } from '../action.js';
import { escapeOf, unescaped } from './escapes.js';
import type { Parameters } from './parameters.js';
import { inQuery, type ReadTarget, readServiceTarget, type Target } from './path.js';

/* Where queries and escapes lead: a service that reads them so carries out what another path would ask for. */

/** Nobody can tell where, and no rule is for it. */
export const MANY: Target = { ok: false, why: 'it leads to several others' };

/** Whether a query may lead elsewhere: most do not, and are not taken apart. @param query - with its escapes undone */
export function mayLead(path: string, query: string): boolean {
  return DOCUMENTS.test(path) || /mount|method|action|[?&;]\//i.test(query);
}

/** What ends a path for some, and how it goes on. */
const END = /(%3F|%23)(.*)$/;
const JOINT = /(?:&|%26)(.*)$/;
const EITHER = /%(?:3F|23|26)|&/;
/** Where a path ends for either of them: at the first of each. */
export const ENDS = [END, JOINT];

/** Whether a path holds anything of it: most do not. */
export function mayEnd(path: string): boolean {
  return EITHER.test(path);
}

/**
 * Paths that end sooner. Whoever undoes escapes before taking a target apart has them end at `?` and `#`: Nitro (h3 1.15), which Nuxt and
 * others stand on, carries out `DELETE /orders/7%3F/notes` as `DELETE /orders/7`. Behind a `#` there is no query, and one before it ends there, to
 * whoever knows it. Where Apache or nginx writes the path into a parameter (`index.php?url=$1`, as many applications in PHP have it), others begin
 * at `&`.
 */
export function ended(action: RequestAction, { path, query }: ReadTarget): RequestAction[] {
  const targets: string[] = [];
  const end = END.exec(path);
  if (end !== null) {
    const [, mark, rest = ''] = end;
    const before = path.slice(0, end.index);
    if (mark === '%23') targets.push(before);
    else {
      targets.push(`${before}?${inQuery(unescaped(rest))}${query}`);
      const hash = rest.indexOf('%23');
      if (hash !== -1) targets.push(`${before}?${inQuery(unescaped(rest.slice(0, hash)))}`);
    }
  }
  const joint = JOINT.exec(path);
  if (joint !== null) {
    const [, rest = ''] = joint;
    targets.push(`${path.slice(0, joint.index)}?${inQuery(unescaped(rest))}${query.replace('?', '&')}`);
  }
  return targets.map((target) => ({ ...action, target: readServiceTarget(target) }));
}

const API = '/v2/';
/** Behind the name of a repository. */
const UPLOADS = /.\/blobs\/uploads\/?$/;

/**
 * A registry gives one repository what another one has (OCI distribution specification, "Mounting a blob from another repository"):
 * `POST /v2/mine/blobs/uploads/?mount=sha256:…&from=theirs`.
 */
export function mounted(action: RequestAction, path: string, parameters: Parameters): RequestAction[] {
  const at = path.indexOf(API);
  if (at === -1 || !UPLOADS.test(path.slice(at + API.length))) return [];
  const from = parameters.one((name) => name === 'from');
  const digest = parameters.one((name) => name === 'mount');
  if (from === null || digest === null) return [];
  if (from === 'many' || digest === 'many') return [{ ...action, method: 'GET', target: MANY }];
  const api = path.slice(0, at + API.length);
  const target = readServiceTarget(`${api}${escaped(from.value)}/blobs/${escaped(digest.value)}`);
  return [{ ...action, method: 'GET', target }];
}

/** The converters of Zope that have it go on to another object; `.x` is that of a picture that was clicked on. */
const GOES_ON = /^(?:default_)?(?:method|action)(?:\.[xy])*$/;
/** Nobody needs more than one. */
const MOST = 8;
/** What stands before and behind the names of several, with each of them once, characters: so often it is read, and recorded. */
const MOST_REPEATED = 16 * 1024;

/**
 * Zope and Plone carry out `/folder?list:method=` as `/folder/list`, and the same for `:method=list`. What stands behind may have them
 * read that value in another character set: in `:method:utf-7=%2BAC4ALg-` it is two dots.
 */
export function traversed(action: RequestAction, path: string, parameters: Parameters): RequestAction[] {
  const further = parameters.all.flatMap(([name, value], at) => {
    const words = name.split(':');
    return words.flatMap((word, end) => (end > 0 && GOES_ON.test(word) ? [{ at, words, end, value }] : []));
  });
  if (further.length === 0) return [];
  // Of thousands each name would be put together to be thrown away.
  const isClear = further.length <= MOST && !parameters.mayBeOthers && !further.some(mayBeRecoded);
  if (!isClear) return [{ ...action, target: MANY }];
  const places = new Set(further.map(({ at }) => at));
  const told = parameters.without((at) => places.has(at));
  if (further.length * (path.length + told.length) > MOST_REPEATED) return [{ ...action, target: MANY }];
  return further.map(({ words, end, value }) => {
    const name = nameOf(words, end) || value;
    return { ...action, target: below(path, `/${name}`, told) };
  });
}

/** It is the value that names the object, and a converter behind it may say in which character set. */
function mayBeRecoded({ words, end }: { readonly words: readonly string[]; readonly end: number }): boolean {
  return nameOf(words, end) === '' && end < words.length - 1;
}

function nameOf(words: readonly string[], end: number): string {
  return words.slice(0, end).join(':');
}

/** Liferay's own pages have it put up to a hundred files together. */
const MOST_TOGETHER = 200;

/**
 * Paths in the query. SvelteKit carries out `POST /orders/7?/delete` as the action `delete` of that page, CodeIgniter `GET /?/admin/users`
 * as `/admin/users`: what stands there is taken for what would stand behind the path. Of several, these take the first; Liferay gives out
 * all of them (`/combo?t=1&/o/a.js&/o/b.js`). Who takes a path without a slash before it (Piwigo, XenForo) is not looked at: it may be
 * any name.
 */
export function led(action: RequestAction, path: string, parameters: Parameters): RequestAction[] {
  const names = new Map<number, string>();
  let isClear = !parameters.mayBeOthers;
  for (const [at, [name, value]] of parameters.all.entries()) {
    if (!name.startsWith('/')) continue;
    names.set(at, name);
    // CodeIgniter takes all that stands before a second `?`.
    isClear &&= value === '' && !name.includes('?');
  }
  if (names.size === 0) return [];
  if (!isClear || names.size > MOST_TOGETHER) return [{ ...action, target: MANY }];
  const told = parameters.without((at) => names.has(at));
  if (names.size * (path.length + told.length) > MOST_REPEATED) return [{ ...action, target: MANY }];
  return [...names.values()].map((name) => ({ ...action, target: below(path, name, told) }));
}

const DOCUMENTS = /.\/_doc\/?$/;

/** Elasticsearch and OpenSearch take from the query what a path lacks: `POST /orders/_doc?id=7` writes what `PUT /orders/_doc/7` does. */
export function identified(action: RequestAction, path: string, parameters: Parameters): RequestAction[] {
  if (action.method !== 'POST' || !DOCUMENTS.test(path)) return [];
  return named({ ...action, method: 'PUT' }, path, parameters, (name) => name === 'id');
}

/**
 * Astro carries out `POST /any/page?_action=admin.wipe`, whatever the page, as what `POST /_actions/admin.wipe` does; Astro 4 has it from
 * `_astroAction`.
 */
export function acted(action: RequestAction, parameters: Parameters): RequestAction[] {
  if (action.method !== 'POST') return [];
  return named(action, '/_actions', parameters, (name) => name === '_action' || name === '_astroAction');
}

/** What one parameter names below a path, asked for with the other parameters; of several nobody can tell which it is. */
function named(
  action: RequestAction,
  path: string,
  parameters: Parameters,
  isIt: (name: string) => boolean,
): RequestAction[] {
  const one = parameters.one(isIt);
  if (one === null) return [];
  if (one === 'many') return [{ ...action, target: MANY }];
  const told = parameters.without((at) => at === one.at);
  return [{ ...action, target: below(path, `/${one.value}`, told) }];
}

/** @param told - the query that is left: what the other place is told, and a rule for it may ask for */
function below(path: string, more: string, told: string): Target {
  return readServiceTarget(`${path.replace(/\/$/, '')}${escaped(more)}${told}`);
}

/** Characters that are bytes, as they stand in a path. */
export function escaped(text: string): string {
  return text.replace(/[^A-Za-z0-9._~:/-]/g, escapeOf);
}
