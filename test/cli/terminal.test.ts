import t from 'tap';
import { command } from '../support/commands.js';
import { ground, portTold, TASK } from './ground.js';

const { stdout } = await command('script', ['--version']).catch(() => ({ stdout: '' }));
const IN_TERMINAL = stdout.includes('util-linux') ? {} : { skip: 'script of util-linux is not there' };

t.test('daypass connect at a terminal', IN_TERMINAL, async (t) => {
  const there = await ground(t);
  const [bob, lee] = [await there.home('bob'), await there.home('lee')];
  const { id } = await there.ask(bob.token, '/requests', { service: 'orders-db', task: TASK, seconds: 600 });
  await there.ask(lee.token, `/requests/${id}/approve`, { comment: 'go ahead' });
  await there.ask(bob.token, `/requests/${id}/activate`, {});

  t.test('what is told begins a line of its own, and r asks aloud for what is missing', async (t) => {
    const running = bob.atTerminal(['connect', 'orders-db']);
    const { stdin } = running.process;
    await portTold(running);
    await running.shows(/0 connections · r: renew/);
    stdin.write('r\n');
    await running.shows(/By how long\? \(10m\) $/);
    // The line that counts leaves the question alone.
    const asked = await running.shows(/By how long\? \(10m\) $/);
    stdin.write('5m\n');
    await running.shows(/Why\? One sentence: $/);
    stdin.write('not done yet\n');
    await running.shows(/renewed; what is open stays open[\s\S]*in 14:/);
    t.match(asked, /(^|\n)connected/, 'not behind the line that counts');
    const made = await there.gateway.ledger.query("select reason from daypass.grant_acts where act = 'renew'");
    t.match(made, [{ reason: 'not done yet' }]);
    stdin.write('\x03');
    t.match(await running.finished, { code: 0 });
  });
});
