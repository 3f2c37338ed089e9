/*
 * The gateway as it is served, in a process of its own: `gateway.js <config> <data> <workers> [null]`. With `null` its recorder takes
 * every event and writes none, which shows what everything but the recording costs. No product has that switch: it is here.
 */
import { type Gateway, serve } from '../../../src/main.js';
import { serveWithWorkers } from '../../../src/primary.js';
import type { SessionLog } from '../../../src/recording/log.js';
import { Recorder } from '../../../src/recording/recorder.js';
import { runWorker, workerIndex } from '../../../src/workers/worker.js';
import { serveBench } from '../child.js';

const [configDirectory = '', dataDirectory = '', workers = '1', kind] = process.argv.slice(2);
if (kind === 'null') {
  Recorder.prototype.dirty = (log: SessionLog) => {
    const taken = log.take();
    if (taken === null) return;
    taken.stretch.lost();
    log.encoded(taken.before);
  };
}
const place = { configDirectory, dataDirectory };
const index = workerIndex();
if (index !== null) await runWorker(index, dataDirectory, (worker, log) => serve({ ...place, worker }, log));
const gateway: Gateway = workers === '1' ? await serve(place) : await serveWithWorkers(place, Number(workers));
serveBench(
  { ...gateway.addresses },
  () => {
    if (globalThis.gc === undefined) throw new Error('this gateway was started without --expose-gc');
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    return { heapUsed, external };
  },
  () => gateway.stop(),
);
