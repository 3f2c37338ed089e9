import type { ClientResponse } from '../client/response.js';
import { isNavigation } from './foreign.js';
import { sendOn } from './pages.js';
import { safeTarget } from './state.js';

/**
 * Has a browser ask for a page once more whose session ended under it. That ends in another tab: one that enters the service at
 * the same moment, or logs out. What the browser holds by now leads this one in, or to the login.
 * @returns false when this is no page, or the session did not end so
 */
export function askAgain(res: ClientResponse, reason: string): boolean {
  const { request: req } = res;
  if ((reason !== 'logged_out' && reason !== 'replaced') || !isNavigation(req.method, req.headers)) return false;
  sendOn(res, safeTarget(req.target));
  return true;
}
