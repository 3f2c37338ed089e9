/** psycopg and JDBC: one program on each way, everything it prints compared; as whom may do anything, and as a reader. */
import t, { type Test } from 'tap';
import type { Running } from '../../support/commands.js';
import { dataFolder } from '../../support/folders.js';
import { compileJdbc, jdbc, noJdbc, noPsycopg, psycopg, type Steps } from './programs.js';
import { sameOn, startTwins, type Twins, type Way } from './twins.js';
import { readerTwins } from './ways.js';

const SETUP = `
  create table orders (id int primary key, customer text not null, status text, amount numeric);
  insert into orders select n, 'customer ' || n, 'open', n * 1.5 from generate_series(1, 500) n;
  create table scratch (id int, what text)`;

/** What a program printed, and how it ended. */
async function printed(run: Running): Promise<{ lines: string[]; stderr: string; code: number | null }> {
  const { stdout, stderr, code } = await run.finished;
  // psycopg says so or not, as it happens to notice.
  return { lines: stdout.split('\n'), stderr: stderr.replace(/^error ignored terminating .*\n/gm, ''), code };
}

/** The same program on both ways; it must have come to its end, and be refused what a reader is refused. */
async function alike(t: Test, twins: Twins, steps: Steps, start: (way: Way, steps: Steps) => Running): Promise<void> {
  await sameOn(t, twins, steps, async (way) => {
    const { lines, stderr, code } = await printed(start(way, steps));
    t.match({ stderr, code }, { stderr: '', code: 0 }, `${steps}, ${way.name}`);
    t.match(lines.at(-2), /^after all => /);
    t.match(
      lines.find((line) => line.startsWith('cancelled')),
      /57014/,
    );
    // A reader's account is refused its writes for another reason than its grant is.
    return lines.map((line) => (line.startsWith('refused') ? line.replace(/25006|42501/, 'refused') : line));
  });
}

/** The end of a grant, in the words of the driver. */
async function told(t: Test, { parts }: Twins, way: Way, start: (way: Way, steps: Steps) => Running): Promise<void> {
  const { handle } = await parts.issue({ service: way.database, for: '4s' });
  const { lines } = await printed(start({ ...way, password: handle }, 'wait'));
  t.match(lines[0], 'connected');
  // psycopg may find the connection closed before it has looked at the error: then it has the words without the code.
  t.match(lines[1], /the end => error (?:57P01|None) .*the grant has expired/);
  t.match(lines[2], /closed true/i);
}

const all = await startTwins(t, SETUP);
const reader = await readerTwins(t);

t.test('psycopg', { skip: noPsycopg }, async (t) => {
  await alike(t, all, 'all', psycopg);
  await alike(t, reader, 'reader', psycopg);
  await told(t, reader, reader.gateway, psycopg);
});

t.test('JDBC', { skip: noJdbc }, async (t) => {
  const folder = await dataFolder(t);
  t.match(await compileJdbc(folder), { code: 0, stderr: '' });
  const start = (way: Way, steps: Steps) => jdbc(folder, way, steps);
  await alike(t, all, 'all', start);
  await alike(t, reader, 'reader', start);
  await told(t, reader, reader.gateway, start);
});
