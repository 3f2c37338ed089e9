import type { ClientRequest } from '../client/request.js';
import type { ClientResponse } from '../client/response.js';
import type { HttpParts } from '../parts.js';
import { foreignRequest, isNavigation } from './foreign.js';
import { forgetPage, forgottenPage, sendPage } from './pages.js';
import { FORGET } from './place.js';
import { type Answer, refuse } from './refusals.js';

/**
 * Frees a browser of its cookies here, on its person's word. Any page of a sibling host can have it keep more of them for the
 * whole domain than the head of a request has room for (180 of 4 KiB). It looks at no cookie, so it answers heads that are too long,
 * whose ends are not read.
 * @param host - that is asked, with its port
 */
export function serveForget(
  { scheme, domain }: HttpParts,
  req: ClientRequest,
  res: ClientResponse,
  host: string,
): Answer {
  const { method, headers, head } = req;
  const [name = ''] = host.split(':', 1);
  if (method === 'GET' || method === 'HEAD')
    return head.isCut || isNavigation('GET', headers) ? sendPage(res, forgetPage(name)) : refuse.nothingHere();
  if (method !== 'POST') return refuse.notAMethod(['GET', 'HEAD', 'POST']);
  const foreign = foreignRequest(method, headers, `${scheme}://${host}`);
  if (foreign !== null) return refuse.foreign(foreign);
  const above = name === domain ? null : `${scheme}://${domain}${host.slice(name.length)}${FORGET}`;
  return sendPage(res, forgottenPage(above), [], 200, { 'clear-site-data': '"cookies"' });
}
