import type { AlertSettings } from '../../config/alerts.js';
import { certain, type EventRule, MOST, Remembered } from './rule.js';

/** A burst: so many refusals of one person's actions within the time, at this process. `Bursts` counts over all of them. */
export function denials({ count, within }: AlertSettings['denials']): EventRule {
  const recent = new Remembered<readonly number[]>(MOST);
  return ({ principal, service, grant, session }, { kind, facts, at }) => {
    if (kind !== 'action' || facts.outcome !== 'deny') return null;
    const times = [...(recent.get(principal) ?? []).filter((time) => time > at - within * 1000), at];
    const full = times.length >= count;
    recent.set(principal, full ? [] : times);
    if (!full) return null;
    const detail = { denials: count, withinSeconds: within, reason: facts.reason ?? '', rule: facts.rule ?? '' };
    const about = { principal, service, grant, session, detail, at };
    return certain({ kind: 'denials', subject: `person:${principal}`, ...about });
  };
}

/** A grant is tried outside of its weekly hours. */
export const outsideHours: EventRule = ({ principal, service, grant, session }, { kind, facts, at }) => {
  if (kind !== 'action' || facts.outcome !== 'deny' || facts.reason !== 'outside_hours') return null;
  const about = { principal, service, grant, session, detail: {}, at };
  return certain({ kind: 'outside_hours', subject: `grant:${grant}`, ...about });
};
