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
    report.add('recording', `events per second ${work}`, 'none', middle('eventsPerSecond'), null);
    report.add('recording', `bytes per event ${work}`, 'none', middle('bytesPerEvent'), null);
    if (mode === 'strict')
      report.add('recording', `actions per commit ${work}`, 'none', middle('actionsPerCommit'), null);
  }
}
