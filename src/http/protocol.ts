import { METHODS } from 'node:http';
import { z } from 'zod';
import { faultOfPair, isCertificate, isPrivateKey } from '../config/pem.js';
import type { Compiled, Problem } from '../config/protocol.js';
import { durationSchema, faultless, hinted, type ValueSchemas } from '../config/values.js';
import { DaypassError } from '../errors.js';
import type { Protocol } from '../gate/protocol.js';
import type { Header, HttpAction } from './action.js';
import { injected } from './credentials.js';
import { readHeaderLine } from './headers/header-line.js';
import { canonical, isInjectable } from './headers/headers.js';
import { describe } from './record/describe.js';
import { harTranscript } from './record/har.js';
import { HttpRecaller } from './record/recall.js';
import { render } from './record/render.js';
import { decide, explain, HttpRole } from './rules/decide.js';
import { looser } from './rules/looser.js';
import { readServiceTarget } from './rules/path.js';
import { settingsFrom, settingsShape } from './rules/role-settings.js';
import { type Rule, shapeOfRule, uncovered, widerThan } from './rules/rule.js';
import { readRule, ruleSchema } from './rules/rule-schema.js';
import { HttpUpstream, namesOf, type UpstreamTls } from './service/target.js';

const roleSchema = z.strictObject({ allow: z.array(ruleSchema).min(1), ...settingsShape });

const HEADER_PROBLEM = hinted(
  'not a header that can be injected',
  'a header name other than those that carry the connection (Host, Connection, Content-Length, …) or begin with Daypass-',
);

const TWICE = hinted('a header stands twice', 'upper and lower case, "-" and "_" make no difference');
const TAKEN = hinted('not a header for a name', 'one of its own, for example X-User');

function upstreamSchema({ url, secret }: ValueSchemas): z.ZodType<HttpUpstream> {
  const value = secret.refine(
    (text) => /^[\t\x20-\x7e]+$/.test(text),
    'not a header value: printable ASCII on one line',
  );
  const name = z.string().refine(isInjectable, HEADER_PROBLEM);
  const headers = z
    .record(name, value)
    .refine((given) => distinct(Object.keys(given)), TWICE)
    .default({});
  const named = identityName(name);
  const identity = z.strictObject({ subject: named, role: named, groups: named }).partial();
  return z
    .strictObject({
      url,
      headers,
      identity_headers: identity.default({}),
      tls: tlsSchema({ secret }).optional(),
      preserve_host: z.boolean().default(false),
      pass_authorization: z.boolean().default(false),
      query_only: z.boolean().default(false),
      response_timeout: durationSchema
        .refine(
          (seconds) => seconds <= 3_600,
          hinted('longer than an hour', '1h at most: what takes longer is better asked for again'),
        )
        .optional(),
    })
    .refine((block) => distinct([...Object.keys(block.headers), ...namesOf(block.identity_headers)]), {
      error: TWICE,
      path: ['identity_headers'],
    })
    .refine((block) => block.tls === undefined || block.url.origin.startsWith('https:'), {
      error: hinted('tls for a service without it', 'write https:// in url, or leave tls out'),
      path: ['tls'],
    })
    .refine((block) => !block.pass_authorization || distinct(['authorization', ...Object.keys(block.headers)]), {
      error: hinted('the Authorization of the client is passed on and replaced', 'leave one of the two out'),
      path: ['pass_authorization'],
    })
    .transform((block) => {
      const { url, headers, tls, identity_headers: identity } = block;
      const more = {
        tls,
        identity,
        preservesHost: block.preserve_host,
        passesAuthorization: block.pass_authorization,
        queryOnly: block.query_only,
        answersWithin: block.response_timeout === undefined ? undefined : block.response_timeout * 1_000,
      };
      return new HttpUpstream(url, Object.entries(headers), more);
    });
}

/** Neither a credential nor what the gateway says of the connection: a service would take a name for either. */
function identityName(name: z.ZodString) {
  return name.refine(
    (text) => !/^(?:authorization|cookie|x-forwarded-(?:for|proto|host))$/.test(canonical(text)),
    TAKEN,
  );
}

/** By whom the service's certificate must be signed, and the certificate it may ask of us. */
function tlsSchema({ secret }: Pick<ValueSchemas, 'secret'>) {
  const pem = secret.refine(isCertificate, 'not a PEM certificate');
  const own = z
    .strictObject({ cert: pem, key: secret.refine(isPrivateKey, 'not an unencrypted PEM private key') })
    .superRefine(faultless(faultOfPair));
  return z
    .strictObject({ ca: pem.optional(), client: own.optional() })
    .transform(({ ca, client }): UpstreamTls => ({ ...(ca === undefined ? {} : { ca }), ...client }));
}

function distinct(names: readonly string[]): boolean {
  return new Set(names.map(canonical)).size === names.length;
}

/** Compiles a role's chain: rules add up; what is invalid or stands twice is a problem of the last block. */
function compileRole(name: string, chain: readonly unknown[], upstream: HttpUpstream): Compiled<HttpRole> {
  const blocks = z.array(roleSchema).parse(chain);
  const rules: Rule[] = [];
  const seen = new Map<string, string>();
  const problems: Problem[] = [];
  blocks.forEach((block, depth) => {
    block.allow.forEach((written, index) => {
      const problem = addRule(written, rules, seen, upstream);
      // A base is compiled, and complained about, as a role of its own.
      if (problem !== null && depth === blocks.length - 1) problems.push({ path: ['allow', index], ...problem });
    });
  });
  if (problems.length === 0) problems.push(...uncoveredOf(rules, blocks.at(-1)?.allow.length ?? 0));
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, value: new HttpRole(name, rules, settingsFrom(blocks, upstream.url.basePath)) };
}

/** Of the last block's rules those that allow nothing, since a request for their path asks for a shorter one besides. */
function uncoveredOf(rules: readonly Rule[], own: number): Problem[] {
  return rules.slice(rules.length - own).flatMap((rule, index) => {
    const shorter = uncovered(rule, rules);
    if (shorter === undefined) return [];
    const message = `${rule.text} allows nothing: some services take it for ${shorter}, which no rule is for`;
    const hint = `add ${JSON.stringify(shorter)}, if that may be asked for, too`;
    return [{ path: ['allow', index], message, hint }];
  });
}

function addRule(
  written: z.output<typeof ruleSchema>,
  rules: Rule[],
  seen: Map<string, string>,
  { injected, queryOnly }: HttpUpstream,
): Omit<Problem, 'path'> | null {
  const read = readRule(written, queryOnly);
  if (!read.ok) return read.problem;
  const { rule } = read;
  const shape = shapeOfRule(rule);
  const earlier = seen.get(shape);
  if (earlier !== undefined)
    return { message: `the route ${rule.text} stands twice`, hint: `${earlier} allows the same; leave one out` };
  const wider = widerThan(rule, rules);
  if (wider !== undefined)
    return {
      message: `${rule.text} never decides: ${wider.text} comes first`,
      hint: 'write it before that one, or leave it out',
    };
  const ours = rule.headers.find((one) => injected.includes(one.name));
  if (ours !== undefined)
    return {
      message: `no client's ${ours.name} reaches the service`,
      hint: 'upstream says what it is sent under this name',
    };
  seen.set(shape, rule.text);
  rules.push(rule);
  return null;
}

function actionFromWords(words: readonly string[]): HttpAction {
  // `"GET /orders"` in quotes, as SQL is given, means the same.
  const [verb, target, ...more] = words.length === 1 ? (words[0] ?? '').trim().split(/\s+/) : words;
  // As rules name it.
  const method = verb === 'SSE' ? 'GET' : verb;
  const headers = [...more, ...(verb === 'SSE' ? ['accept:text/event-stream'] : [])].map(headerOfWord);
  if (
    method === undefined ||
    target === undefined ||
    headers.includes(null) ||
    !(method === 'WS' || METHODS.includes(method))
  ) {
    throw new DaypassError('usage', 'expected a method, a path, and headers if need be', {
      hint: 'POST /orders/7/retry, WS /live, SSE /events, or GET /orders x-tenant:acme',
    });
  }
  return {
    kind: 'request',
    method,
    target: readServiceTarget(target),
    rawTarget: target,
    client: '',
    headers: headers.filter((header) => header !== null),
    injected: [],
  };
}

/** Read as a request's header is, blanks around its value and all. @returns null for what is none */
function headerOfWord(word: string): Header | null {
  try {
    return readHeaderLine(word);
  } catch {
    return null;
  }
}

/**
 * HTTP/1.1 and WebSocket. What is recorded: a request's head and every WebSocket frame of a client that carries its bytes,
 * before they are forwarded; what a service says on one as it passes; of bodies the digests and
 * what the role asks for, with the result; of a response its status and content type. Byte counts are always whole.
 */
export const httpProtocol: Protocol<HttpRole, HttpAction, HttpUpstream> = {
  name: 'http',
  upstream: upstreamSchema,
  role: () => roleSchema,
  compileRole,
  rulesOf: ({ rules }) => rules.map(({ text }) => text),
  narrow: ({ name, rules, settings, whole }, texts) => {
    const left = rules.filter(({ text }) => texts.has(text));
    return new HttpRole(name, left, settings, whole);
  },
  looser: ({ settings }, than) => looser(settings, than.settings),
  injected,
  certificate: ({ tls }) => tls.cert ?? null,
  decide,
  explain,
  describe,
  actionFromWords,
  transcripts: [harTranscript],
  recaller: () => new HttpRecaller(),
  render,
};
