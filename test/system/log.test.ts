import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { endWithUs } from '../support/watchdog.js';

const LOG = new URL('../../src/log.js', import.meta.url).href;
/** Twice of what may wait, in lines of a kilobyte. */
const LINES = 32 * 1024;

/** A process with the log of a gateway, which it writes at the byte it is told to; what it says then is what waits to be read. */
const WRITER = `
const { createLog } = await import(${JSON.stringify(LOG)});
const log = createLog('info');
let n = 0;
process.stdin.on('data', () => {
  for (const until = n + ${LINES}; n < until; n += 1) log.info({ n, text: 'x'.repeat(1000) }, 'a line');
  setTimeout(() => process.stdout.write(process.stderr.writableLength + '\\n'), 100);
});
`;

function writer(stderr: 'pipe' | number) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', WRITER], { stdio: ['pipe', 'pipe', stderr] });
  t.teardown(() => void child.kill('SIGKILL'));
  if (child.pid === undefined || child.stdin === null || child.stdout === null) throw new Error('no process');
  t.teardown(endWithUs(child.pid, 'KILL'));
  const { stdin, stdout } = child;
  const writes = async () => {
    stdin.write('.');
    const [waits] = await once(stdout, 'data');
    return Number(String(waits));
  };
  return { child, writes };
}

t.test('a log that nobody reads takes no more memory than it may, and says how much of it is lost', async (t) => {
  const { child, writes } = writer('pipe');
  const waits = await writes();
  t.ok(waits > 15 * 1024 * 1024 && waits < 17 * 1024 * 1024, `${waits} bytes wait`);
  let rest = '';
  const lines: { n?: number; lines?: number }[] = [];
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    const whole = (rest + text).split('\n');
    rest = whole.pop() ?? '';
    lines.push(...whole.map((line) => JSON.parse(line)));
  });
  const told = () => lines.findIndex(({ lines }) => lines !== undefined);
  while (told() === -1 || told() === lines.length - 1) await writes();
  const before = told();
  t.ok(before < LINES, 'some were lost');
  t.equal(
    before + Number(lines[before]?.lines),
    lines[before + 1]?.n,
    'each of them is counted, and the next ones are written',
  );
});

t.test('a process whose log is read by nobody any more, or has no room, goes on', async (t) => {
  const left = writer('pipe');
  left.child.stderr?.destroy();
  const full = openSync('/dev/full', 'w');
  const roomless = writer(full);
  closeSync(full);
  for (const { writes } of [left, roomless]) {
    t.equal(await writes(), 0);
    t.equal(await writes(), 0);
  }
});
