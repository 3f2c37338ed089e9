import type { HttpParts } from '../parts.js';
import { foreignRequest, isNavigation } from './foreign.js';
import { FORGET_PAGE, FORGOTTEN_PAGE, sendOn, sendPage } from './pages.js';
import { FORGET } from './place.js';
import { type Answer, refuse } from './refusals.js';
import type { Visit } from './visit.js';

/** Any request: it may be the beginning of one whose head is too long, since no cookie is looked at. */
type Asked = Pick<Visit, 'req' | 'res' | 'host'>;

/**
 * Frees a browser of its cookies, on its person's word. Any page of a sibling host can have it keep more of them for the whole
 * domain than the head of a request has room for (180 of 4 KiB).
 */
export function serveForget({ scheme }: Pick<HttpParts, 'scheme'>, { req, res, host }: Asked): Answer {
  const { method, headers, head } = req;
  if (method === 'GET' || method === 'HEAD')
    return head.isCut || isNavigation('GET', headers) ? sendPage(res, FORGET_PAGE) : refuse.nothingHere();
  if (method !== 'POST') return refuse.notAMethod(['GET', 'HEAD', 'POST']);
  const foreign = foreignRequest(method, headers, `${scheme}://${host}`);
  if (foreign !== null) return refuse.foreign(foreign);
  return sendPage(res, FORGOTTEN_PAGE, [], 200, { 'clear-site-data': '"cookies"' });
}

/**
 * From a service's host it is the gateway's that is gone to: a page of the service could give the word in its person's place here.
 * @param host - the gateway's
 */
export function leadToForget({ scheme }: Pick<HttpParts, 'scheme'>, { req, res, host }: Asked): Answer {
  if (req.method !== 'GET' && req.method !== 'HEAD') return refuse.notAMethod(['GET', 'HEAD']);
  return sendOn(res, `${scheme}://${host}${FORGET}`);
}
