import { randomUUID } from 'node:crypto';
import type { openAlerting } from './alerting.js';
import { connectionsFor } from './connections.js';
import { type Foundation, KEEPING_LIMIT } from './foundation.js';
import { Networks } from './gate/networks.js';
import { Presence } from './recording/gateways.js';
import { listenAll } from './recording/hearing.js';
import { IndexWriter } from './recording/index.js';
import { ensurePartitions } from './recording/migrate.js';
import { Recorder } from './recording/recorder.js';

/** How long what is queued may take to be written at the end, milliseconds. */
const LAST_WRITE = 5_000;

/** The recorder, its index, and this gateway's presence in the ledger. */
export async function openRecording(base: Foundation, alerting: ReturnType<typeof openAlerting>) {
  const { clock, metrics, log, lifecycle } = base;
  const gatewayId = randomUUID();
  const keeping = connectionsFor('housekeeping', base, { max: 3, answerWithin: KEEPING_LIMIT });
  const index = new IndexWriter({ pool: keeping, log, written: alerting.indexed });
  const writing = connectionsFor('recorder', base, { max: 2 });
  const listen = listenAll([index.listen, alerting.listen]);
  const recorder = new Recorder({ pool: writing, gatewayId, clock, log, metrics, listen });
  const beat = async () => {
    await ensurePartitions(keeping, clock.wall());
    await index.repair();
  };
  const presence = new Presence({ pool: keeping, gatewayId, clock, log, beat, reaped: alerting.reaped });
  await presence.start();
  lifecycle.onStop('recorder', async () => {
    if (!(await recorder.drain(LAST_WRITE))) log.error('not everything could be recorded before the end');
    recorder.close();
    await index.close();
    await presence.stop();
  });
  const networks = new Networks({ pool: keeping, clock, log, metrics, raise: alerting.raise });
  lifecycle.onStop('networks of grants', () => networks.stop());
  return { gatewayId, recorder, presence, networks };
}
