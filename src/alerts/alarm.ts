import type { AlertSettings } from '../config/alerts.js';
import { type Alert, type Raise, raiseAlert, tellable } from '../recording/alerts.js';
import type { Notices } from './notice.js';
import type { Notice } from './outbox.js';

/** Raises alerts by the rules that are on; a new one is told of in the transaction that writes it. */
export function alarm(settings: AlertSettings, notices?: Notices): Raise {
  return async (client, alert, times = 1) => {
    if (!settings[alert.kind].enabled) return null;
    const id = await raiseAlert(client, alert, times, settings.window * 1000);
    if (id !== null) await notices?.enqueue(client, noticeOf(id, alert));
    return id;
  };
}

/** An alert that could not be written is not told of either. */
function noticeOf(id: string, alert: Alert): Notice {
  const { kind: rule, principal, service, grant, session, detail, at } = alert;
  const about = { person: principal, service, grant, session, what: JSON.stringify(tellable(detail)) };
  const data = { alert: id, rule, ...about, at: new Date(at).toISOString() };
  return { kind: 'alert', dedupe: `alert:${id}`, data, to: { channels: true } };
}
