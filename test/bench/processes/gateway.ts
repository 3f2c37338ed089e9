/*
 * The gateway as it is served, in a process of its own: `gateway.js <config> <data> [null]`. With `null` its recorder takes
 * every event and writes none, which shows what everything but the recording costs. No product has that switch: it is here.
 */
import { serve } from '../../../src/main.js';
import type { SessionLog } from '../../../src/recording/log.js';
import { Recorder } from '../../../src/recording/recorder.js';
import { serveBench } from '../child.js';

const [configDirectory = '', dataDirectory = '', kind] = process.argv.slice(2);
if (kind === 'null') {
  Recorder.prototype.dirty = (log: SessionLog) => {
    log.take();
  };
}
const gateway = await serve({ configDirectory, dataDirectory });
serveBench(
  { ...gateway.addresses },
  () => {
    globalThis.gc?.();
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    return { heapUsed, external, arrayBuffers };
  },
  () => gateway.stop(),
);
