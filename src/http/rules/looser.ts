import { BODY_SAMPLE } from '../record/describe.js';
import type { RoleSettings } from './role-settings.js';

/** What of one role's settings gives more than another's, by its keys: a larger message, or less of bodies that is recorded. */
export function looser(settings: RoleSettings, than: RoleSettings): readonly string[] {
  return [
    ...(settings.maxMessage > than.maxMessage ? ['websocket.max_message'] : []),
    ...(keepsLess(settings.bodies, than.bodies) ? ['recording.bodies'] : []),
  ];
}

/** Without a size the beginning of requests is kept, and nothing of answers. */
function keepsLess(bodies: number | null, than: number | null): boolean {
  return (bodies ?? BODY_SAMPLE) < (than ?? BODY_SAMPLE) || (bodies ?? 0) < (than ?? 0);
}
