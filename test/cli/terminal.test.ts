import t from 'tap';
import { command, startPsql } from '../support/commands.js';
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

  t.test('the line that counts takes one row, in a narrow terminal too', async (t) => {
    const running = bob.atTerminal(['connect', 'orders-db'], 40);
    await running.shows(/orders-db as reader · [\d:]+ left · [^\r]*\x1b7\r/);
    running.process.kill('SIGTERM');
    const { stdout } = await running.finished;
    const line = /\x1b7\r([^\x1b]*)\x1b8/.exec(stdout)?.[1] ?? '';
    t.equal(line.length, 39, line);
  });

  t.test('a connection that the gateway ended, and whose client left, is counted no more', async (t) => {
    const running = bob.atTerminal(['connect', 'orders-db']);
    const port = await portTold(running);
    const client = startPsql(`postgresql://bob@127.0.0.1:${port}/orders-db`, [], { typing: true });
    client.process.stdin.write("select 'let in';\n");
    await client.shows(/let in/);
    await running.shows(/ 1 connection /);
    const [session] = await there.gateway.ledger.query<{ id: string }>(
      'select id from daypass.sessions where ended_at is null',
    );
    await there.gateway.operator('POST', `/v1/sessions/${session?.id}/end`, { reason: 'enough seen', by: 'ops' });
    await running.shows(/the gateway ended a connection/);
    client.process.stdin.end('select 1;\n');
    t.match(await client.finished, { code: 2, stderr: /Daypass ended this session/ });
    await running.shows(/ 1 connection [\s\S]* 0 connections /);
    running.process.kill('SIGTERM');
    await running.finished;
  });
});
