import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import { actorOf } from '../../identity/actor.js';
import type { NewToken } from '../../identity/tokens.js';
import { readJson } from '../../json.js';
import type { ClientResponse } from '../client/response.js';
import { valuesOf } from '../headers/headers.js';
import { tellFault } from '../refusals/tell.js';
import { clientOf } from '../whence.js';
import { shortBody } from './form.js';
import { type Answer, refuse } from './refusals.js';
import { isToolName } from './tool.js';
import { tooOften, type Visit } from './visit.js';

/** A request of a tool: no cookie vouches for it. */
type Asked = Pick<Visit, 'parts' | 'req' | 'res'>;

/**
 * What tools ask of the gateway's own host about their tokens. A page of another site can ask for nothing here: it has
 * neither code and verifier nor a bearer, and what comes with an Origin is refused.
 */
export const TOOL_API: Readonly<Record<string, (asked: Asked) => Promise<Answer>>> = {
  'POST /api/v1/tokens': makeToken,
  'GET /api/v1/tokens/current': showToken,
  'DELETE /api/v1/tokens/current': endToken,
};

const LONGEST = 4_096;
const OFTEN = { count: 120, seconds: 60 };

const tokenBody = z.union([
  z.strictObject({ code: z.string(), verifier: z.string() }),
  z.strictObject({
    link: z.string(),
    client: z.string().refine(isToolName),
    as: z
      .string()
      .regex(/^[\x21-\x7e]{1,128}$/)
      .optional(),
  }),
]);
type TokenBody = z.output<typeof tokenBody>;

async function makeToken(asking: Asked): Promise<Answer> {
  const { parts, req, res } = asking;
  const headers = req.headers;
  if (['origin', 'sec-fetch-site'].some((name) => valuesOf(headers, name).length > 0))
    return refuse.foreign('tools alone ask for tokens');
  const refused = tooOften(asking, 'ask for a token', OFTEN);
  if (refused !== null) return refused;
  const body = /^application\/json\b/i.test(req.header('content-type') ?? '') ? await shortBody(req, LONGEST) : null;
  if (body?.ok === false) return body.answer;
  const asked = tokenBody.safeParse(readJson(body?.text ?? ''));
  if (!asked.success) return problem(asking, 400, 'invalid_request', 'This asks for no token.');
  const made = await tokenFor(parts, asked.data);
  if (made === null) return problem(asking, 400, 'code_over', OVER);
  const { token, subject, expiresAt } = made;
  parts.log.info({ principal: subject, client: clientOf(req) }, 'a tool was given a token');
  return answer(res, 201, { token, subject, expiresAt: new Date(expiresAt).toISOString() });
}

const OVER = 'The code or link was used already, is too old, or is not for this account.';

async function tokenFor({ access }: Asked['parts'], asked: TokenBody): Promise<NewToken | null> {
  if ('code' in asked) return access.toolCodes.exchange(asked.code, asked.verifier);
  const given = await access.logins.logIn(asked.link, null, asked.as ?? null);
  const login = given && (await access.logins.find(given.secret));
  return login && access.tokens.create(login.hash, asked.client);
}

async function showToken(asking: Asked): Promise<Answer> {
  const { parts, req, res } = asking;
  const { access } = parts;
  const token = await access.tokens.find(bearerOf(req.header('authorization')));
  if (token === null) return unauthorised(asking);
  const { subject, client, expiresAt } = token;
  const person = await access.people.find(subject);
  const actor = person && actorOf(person, access.duties, 'token');
  return answer(res, 200, {
    ...{ subject, name: person?.name ?? null, kind: person?.kind ?? null, groups: actor?.groups ?? [] },
    ...{ duties: [...(actor?.duties ?? [])], client, expiresAt: new Date(expiresAt).toISOString() },
  });
}

async function endToken(asking: Asked): Promise<Answer> {
  const { parts, req, res } = asking;
  const subject = await parts.access.tokens.end(bearerOf(req.header('authorization')));
  if (subject === null) return unauthorised(asking);
  await parts.access.browsers.recheck();
  parts.log.info({ principal: subject, client: clientOf(req) }, 'a tool gave its token back');
  return answer(res, 200, { subject });
}

function bearerOf(authorization: string | undefined): string {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? '';
}

function unauthorised(asking: Asked): null {
  const detail = 'There is no such token, or it is over. Log in again: daypass login';
  return problem(asking, 401, 'unauthorised', detail, { 'www-authenticate': 'Bearer' });
}

/** RFC 9457. Told of and counted, as refusals in a browser are. */
function problem(
  { parts, req, res }: Asked,
  status: number,
  code: string,
  detail: string,
  headers: Readonly<Record<string, string>> = {},
): null {
  tellFault(parts, req, { status, reason: code, detail, rule: 'a token for a tool' });
  const told = { type: `urn:daypass:error:${code}`, title: STATUS_CODES[status], status, code, detail };
  return answer(res, status, told, { 'content-type': 'application/problem+json', ...headers });
}

function answer(
  res: ClientResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = { 'content-type': 'application/json' },
): null {
  const quiet = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
  res.send(status, { ...headers, ...quiet }, `${JSON.stringify(body)}\n`);
  return null;
}
