import { parseArgs } from 'node:util';
import { benchAlerts } from './alerts.js';
import { benchCuts } from './cuts.js';
import { benchHttp } from './http.js';
import { benchPostgres } from './postgres.js';
import { benchRecording } from './recording.js';
import { Report } from './report.js';
import { Scope } from './scope.js';
import { type Settings, settingsOf } from './settings.js';
import { benchVolume } from './volume.js';

const PARTS: Readonly<Record<string, (scope: Scope, settings: Settings, report: Report) => Promise<void>>> = {
  http: benchHttp,
  postgres: benchPostgres,
  cuts: benchCuts,
  recording: benchRecording,
  alerts: benchAlerts,
  volume: benchVolume,
};
/** What is a part of another, and run alone when asked for by name. */
const WITHIN: ReadonlySet<string> = new Set(['volume']);

const USAGE = `usage: npm run bench -- [${Object.keys(PARTS).join('|')}]… [--json] [--quick] [--rounds N] [--seconds N] [--workers N] [--only way,…] [--profile folder]`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    workers: { type: 'string' },
    only: { type: 'string' },
    profile: { type: 'string' },
  },
});

const unknown = positionals.filter((part) => !(part in PARTS));
if (unknown.length > 0) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(2);
}
const settings = settingsOf(values.quick, {
  ...(values.rounds === undefined ? {} : { rounds: Number(values.rounds) }),
  ...(values.seconds === undefined ? {} : { seconds: Number(values.seconds) }),
  ...(values.workers === undefined ? {} : { workers: Number(values.workers) }),
  only: values.only?.split(',') ?? [],
  profile: values.profile,
});
const report = new Report(values.json);
let failed = false;
for (const [name, run] of Object.entries(PARTS)) {
  if (positionals.length > 0 ? !positionals.includes(name) : WITHIN.has(name)) continue;
  const scope = new Scope();
  try {
    report.progress(`${name} …`);
    await run(scope, settings, report);
  } catch (thrown) {
    failed = true;
    process.stderr.write(
      `bench: ${name} failed: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`,
    );
  } finally {
    await scope.end();
  }
}
report.finish();
process.exit(failed || !report.complete ? 1 : 0);
