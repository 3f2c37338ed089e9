/**
 * A process of its own that runs the embedded ledger until it is told to end, so that tests can kill it.
 * Argument: the data directory. It prints the connection string.
 */
import { startEmbeddedLedger } from '../../src/embedded/ledger.js';
import { createLog } from '../../src/log.js';

const ledger = await startEmbeddedLedger(process.argv[2] ?? '', createLog('error'));
process.stdout.write(`ready ${ledger.databaseUrl}\n`);
process.once('SIGTERM', () => void ledger.stop());
