import { startPostgres } from '../support/postgres.js';
import { Child, type Message } from './child.js';
import { makeDatabase } from './gateway.js';
import { median, type Report } from './report.js';
import type { Scope } from './scope.js';
import type { Settings } from './settings.js';

/** What the recorder alone can take: events committed per second, and what one takes in the database. */
export async function benchRecording(scope: Scope, settings: Settings, report: Report): Promise<void> {
  const ledger = await startPostgres(scope, { durable: true });
  for (const [mode, sessions] of [
    ['buffered', 8],
    ['strict', 8],
    ['strict', 64],
  ] as const) {
    const recorder = await Child.start(scope, 'recorder', { args: [await makeDatabase(ledger)] });
    const rounds: Message[] = [];
    for (let round = 0; round < settings.rounds; round += 1) {
      rounds.push(await recorder.ask({ mode, sessions, milliseconds: settings.seconds * 1000 }));
    }
    const middle = (name: string) => median(rounds.map((round) => Number(round[name])));
    const work = `${sessions} sessions ${mode}`;
    report.figure('recording', `events per second ${work}`, middle('eventsPerSecond'));
    report.figure('recording', `bytes per event ${work}`, middle('bytesPerEvent'));
    report.figure('recording', `stored bytes per event ${work}`, middle('storedPerEvent'));
    report.figure('recording', `search index bytes per event ${work}`, middle('indexPerEvent'));
    if (mode === 'strict') report.figure('recording', `actions per commit ${work}`, middle('actionsPerCommit'));
  }
}
