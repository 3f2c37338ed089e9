import type pg from 'pg';
import type { AuditTargets } from '../config/audit.js';
import type { Log } from '../log.js';
import type { Receiver } from './receiver.js';
import { AuditStream } from './stream.js';
import { SyslogReceiver } from './syslog-link.js';
import { Webhook } from './webhook.js';

/** Streams the audit log to everybody the configuration names, until stopped. */
export function startAuditStreams(
  { webhook, syslog }: AuditTargets,
  pool: pg.Pool,
  log: Log,
): { stop(): Promise<void> } {
  const receivers: Receiver[] = [
    ...(webhook === undefined ? [] : [new Webhook(webhook)]),
    ...(syslog === undefined ? [] : [new SyslogReceiver(syslog)]),
  ];
  const streams = receivers.map((receiver) => new AuditStream({ pool, receiver, log }));
  return {
    stop: async () => {
      await Promise.all(streams.map((stream) => stream.stop()));
    },
  };
}
