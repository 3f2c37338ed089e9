import { fieldOf, shortBody } from './form.js';
import { plainInstant } from './instant.js';
import { sendOn, sendPage, toolPage, welcomePage } from './pages.js';
import { isProof, proofOf } from './proof.js';
import { type Answer, refuse } from './refusals.js';
import { loginOf, type Page, type Visit } from './visit.js';

/**
 * The browser's half of `daypass login` (RFC 8252 section 7.3): a person who is logged in says yes on a page of ours, and a
 * code goes to the command line that listens on this machine. A port of this machine is the only place it is sent to.
 */
export const TOOL_PAGES: Readonly<Record<string, Page>> = {
  'GET /login/tool': showTool,
  'POST /login/tool': answerTool,
};

/** What a command line asks for, as it stands in an address or a form. */
interface Asked {
  readonly port: string;
  readonly challenge: string;
  readonly state: string;
  /** What the machine calls itself. */
  readonly client: string;
}

/** The form, all told. */
const LONGEST = 1_024;

async function showTool(visit: Visit): Promise<Answer> {
  const { parts, res, target, query, secret } = visit;
  const asked = readAsked(query);
  if (asked === null) return refuse.noTool();
  const login = await loginOf(visit);
  if (login === null || secret === null) return sendPage(res, welcomePage(parts.access.directory !== null, target));
  const as = query.get('as');
  if (as !== null && as !== login.principal) return sendBack(visit, asked, { error: 'wrong_account' });
  const until = plainInstant(login.expiresAt);
  return sendPage(
    res,
    toolPage({ ...asked, principal: login.principal, until, token: proofOf(secret, boundTo(asked)) }),
  );
}

async function answerTool(visit: Visit): Promise<Answer> {
  const { parts, req, secret } = visit;
  const body = await shortBody(req, LONGEST);
  if (!body.ok) return body.answer;
  const form = new URLSearchParams(body.text);
  const asked = readAsked(form);
  const login = await loginOf(visit);
  if (login === null || secret === null) return refuse.notLoggedIn();
  if (asked === null || !isProof(form.get('token') ?? '', secret, boundTo(asked))) return refuse.noTool();
  if (form.get('answer') !== 'yes') return sendBack(visit, asked, { error: 'access_denied' });
  const code = await parts.access.toolCodes.begin(login.hash, asked);
  parts.log.info({ principal: login.principal, tool: asked.client }, 'a browser let a tool in');
  return sendBack(visit, asked, { code });
}

function sendBack({ res }: Visit, { port, state }: Asked, answer: Readonly<Record<string, string>>): null {
  return sendOn(res, `http://127.0.0.1:${port}/?${new URLSearchParams({ ...answer, state })}`);
}

function readAsked(query: URLSearchParams): Asked | null {
  const [port = '', challenge = '', state = '', client = ''] = ['port', 'challenge', 'state', 'client'].map((name) =>
    fieldOf(query, name),
  );
  const isPort = /^[1-9]\d{3,4}$/.test(port) && Number(port) >= 1_024 && Number(port) <= 65_535;
  const isForm = /^[A-Za-z0-9_-]{43}$/.test(challenge) && /^[A-Za-z0-9_-]{16,128}$/.test(state);
  return isPort && isForm && isToolName(client) ? { port, challenge, state, client } : null;
}

/** A name that can neither pose as something else nor fill a page. */
export function isToolName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9 ._@()-]{0,79}$/.test(text);
}

/** What the answer is bound to. */
function boundTo({ port, challenge, state, client }: Asked): readonly string[] {
  return [port, challenge, state, client];
}
