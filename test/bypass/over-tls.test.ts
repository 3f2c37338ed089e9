import { overTls } from '../http/over-tls.js';

// What is tried over plain connections, once more with TLS on both sides: a process of its own, since what is switched on holds for all.
Object.assign(overTls, { clients: true, services: true });

await import('./http-corpus.test.js');
await import('./http-desync.test.js');
await import('./http-frames.test.js');
await import('./http-pipeline.test.js');
await import('./http-shared-memory.test.js');
await import('./http-sockets.test.js');
await import('./http-target.test.js');
await import('../http/faults.test.js');
await import('../http/host.test.js');
await import('../http/refusals.test.js');
await import('../http/websocket.test.js');
