import { createHash } from 'node:crypto';
import fastify, { type FastifyRequest, type FastifySchemaCompiler } from 'fastify';
import { serializerCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { DaypassError, errorOf } from '../errors.js';
import type { Actor } from '../identity/actor.js';
import { checked } from './faults.js';
import type { About, RouteName } from './may.js';

/** An application whose handlers have the types of their schemas. */
export type ApiApp = ReturnType<typeof newApp>;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its name in the table of who may what; a route without one is asked by nobody. */
    readonly name?: RouteName;
    /** Whom and what the request is about, where that decides who may ask it. */
    readonly about?: (request: FastifyRequest) => About | Promise<About>;
    /** The answer holds a secret: it is kept nowhere and given once. */
    readonly secret?: true;
    /** On the operator's socket even a look says who looks. */
    readonly viewing?: true;
    /** Whoever asks need not be logged in. */
    readonly open?: true;
    /** An act whose handler does not write down that it was refused: the door does. */
    readonly noted?: true;
  }
  interface FastifyRequest {
    /** Who asks; null until that is known. */
    actor: Actor | null;
    /** Finds out anew who asks, for answers that go on for long; null where that cannot change. */
    again: (() => Promise<Actor>) | null;
    /** SHA-256 of the body as it came. */
    bodyHash: Buffer | null;
  }
}

const LARGEST_BODY = 64 * 1024;
/** One spelling of one type: a form cannot send it, and nothing else is read as JSON (RFC 8259 section 8.1: UTF-8). */
export const JSON_TYPE = /^application\/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?$/i;

/** An application that reads JSON strictly and holds requests and answers against the zod schemas of its routes. */
export function newApp() {
  const app = fastify({
    logger: false,
    bodyLimit: LARGEST_BODY,
    exposeHeadRoutes: false,
    requestIdHeader: false,
  }).withTypeProvider<ZodTypeProvider>();
  app.decorateRequest('actor', null);
  app.decorateRequest('again', null);
  app.decorateRequest('bodyHash', null);
  app.setValidatorCompiler(validator);
  app.setSerializerCompiler(serializerCompiler);
  readJson(app);
  return app;
}

/** Every problem of what was sent, in one sentence. */
const validator: FastifySchemaCompiler<z.ZodType> = ({ schema }) => {
  return (value) => {
    try {
      return { value: checked(schema, value) };
    } catch (error) {
      return { error: errorOf(error) };
    }
  };
};

/** Prototypes in a body are refused, not dropped; bytes that are no UTF-8 are no JSON. */
function readJson(app: ApiApp): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(JSON_TYPE, { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
    if (request.headers['content-encoding'] !== undefined)
      return done(new DaypassError('not_json', 'The body is coded: JSON is read as it is.'));
    request.bodyHash = createHash('sha256').update(bytes).digest();
    try {
      const text = utf8.decode(bytes);
      if (text.startsWith('\ufeff')) throw new SyntaxError('a byte order mark');
      parse(request, text, done);
    } catch (cause) {
      done(new DaypassError('invalid_request', 'The body is not plain UTF-8.', { cause }));
    }
  });
}

/** Who asks. @throws DaypassError `not_logged_in`: the door let in somebody it did not know */
export function actorIn({ actor }: FastifyRequest): Actor {
  if (actor === null) throw new DaypassError('not_logged_in', 'Nobody is logged in.');
  return actor;
}
