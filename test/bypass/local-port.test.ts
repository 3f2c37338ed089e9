import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type LocalPortParts, openLocalPort } from '../../src/cli/local-port.js';
import { DaypassError } from '../../src/errors.js';

const NOBODY = 65_534;
const CAN_TELL = process.platform === 'linux' ? {} : { skip: 'the system does not say who comes' };
const CAN_BECOME = process.getuid?.() === 0 ? CAN_TELL : { skip: 'only root can become somebody else' };

/** A port of this account; `told` is what became of who came. */
async function open(t: Test, over: Partial<LocalPortParts> = {}) {
  const told: unknown[] = [];
  const ignore = () => {};
  const port = await openLocalPort({
    port: 0,
    open: async () => {
      told.push('let in');
      throw new DaypassError('no_access', 'there is no gateway here');
    },
    refuse: (socket, why) => socket.end(why),
    events: { stranger: (uid) => told.push(uid), cut: ignore, broken: ignore, refused: ignore, waiting: ignore },
    ...over,
  });
  t.teardown(() => port.close());
  return { port: port.port, told };
}

async function answerOf(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  await once(socket, 'close');
  return text;
}

/** Runs a script of Node as another account. */
async function asNobody(script: string): Promise<string> {
  const child = spawn(process.execPath, ['-e', script], {
    uid: NOBODY,
    gid: NOBODY,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  await once(child, 'close');
  return text;
}

t.test('A: the port of a connect lets in the account that opened it', CAN_TELL, async (t) => {
  const { port, told } = await open(t);
  for (const host of ['127.0.0.1', '::ffff:127.0.0.1'])
    t.equal(await answerOf(connect({ port, host })), 'there is no gateway here', host);
  t.same(told, ['let in', 'let in']);
});

t.test('A: another account of the machine is turned away', CAN_BECOME, async (t) => {
  const { port, told } = await open(t);
  const dial = `const s = require('net').connect(${port}, '127.0.0.1'); s.on('error', () => {});`;
  t.equal(await asNobody(`${dial} s.pipe(process.stdout)`), 'this port is for the account that opened it');
  t.same(told, [NOBODY]);
});

t.test('A: nor does one get in that gives its connection up as soon as it has asked', CAN_BECOME, async (t) => {
  const { port, told } = await open(t);
  // Of a connection that was given up the system says that it is root's: here, our own.
  const script = `
    const net = require('net');
    let left = 20;
    const next = () => {
      if (left-- === 0) return;
      const s = net.connect(${port}, '127.0.0.1', () => { s.write('x', () => { s.destroy(); setImmediate(next); }); });
      s.on('error', () => {});
    };
    next();`;
  await asNobody(script);
  await answerOf(connect({ port, host: '127.0.0.1' }));
  t.same(
    told.filter((one) => one !== NOBODY && one !== null),
    ['let in'],
    'but for ourselves',
  );
});

t.test('A: whoever cannot be told is turned away, and where nobody can be, everybody is let in', async (t) => {
  const unknown = await open(t, { owner: async () => null });
  const failing = await open(t, { owner: () => Promise.reject(new Error('no table')) });
  for (const { port, told } of [unknown, failing]) {
    t.match(await answerOf(connect({ port, host: '127.0.0.1' })), /for the account that opened it/);
    t.same(told, [null]);
  }
  const other = await open(t, { owner: async () => (process.geteuid?.() ?? 0) + 1 });
  t.match(await answerOf(connect({ port: other.port, host: '127.0.0.1' })), /for the account that opened it/);
  const untold = await open(t, { owner: null });
  t.match(await answerOf(connect({ port: untold.port, host: '127.0.0.1' })), /no gateway/);
});

t.test(
  'A: a socket in place of the port is one that others cannot open, and never in a folder of theirs',
  async (t) => {
    const root = await mkdtemp('/tmp/dp-socket-');
    t.teardown(() => rm(root, { recursive: true, force: true }));
    await chmod(root, 0o755);
    const at = (folder: string) => ({ port: 25_714, socket: { folder, path: join(folder, '.s.PGSQL.25714') } });
    const own = at(join(root, 'own'));
    const { told } = await open(t, own);
    t.equal((await stat(own.socket.path)).mode & 0o777, 0o600);
    t.equal((await stat(own.socket.folder)).mode & 0o777, 0o700);
    t.match(await answerOf(connect(own.socket.path)), /no gateway/);
    t.same(told, ['let in']);
    if (process.getuid?.() === 0)
      t.equal(
        await asNobody(`require('net').connect('${own.socket.path}').on('error', (e) => console.log(e.code))`),
        'EACCES\n',
      );
    await t.rejects(open(t, own), { code: 'socket_in_use' });
    await t.rejects(open(t, at(root)), { code: 'socket_unsafe', message: /Others may use the folder/ });
    await symlink(own.socket.folder, join(root, 'link'));
    await t.rejects(open(t, at(join(root, 'link'))), { code: 'socket_unsafe' });
    await t.rejects(open(t, at(join(root, 'x'.repeat(100)))), { code: 'socket_unsafe', message: /longer than 107/ });
    const file = { ...own, socket: { ...own.socket, path: join(own.socket.folder, 'file') } };
    await writeFile(file.socket.path, 'mine');
    await t.rejects(open(t, file), { code: 'socket_unsafe', message: /no socket/ });
    t.equal((await stat(file.socket.path)).size, 4, 'what is no socket stays');
  },
);
