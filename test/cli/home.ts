import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { askApi } from '../api/ground.js';
import { linkFor } from '../http/browser/fixture.js';
import { type CommandOptions, type Running, start } from '../support/commands.js';
import type { TestGateway } from '../support/gateway.js';

/** The command. */
export const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** A person at a machine of their own, logged in with the command. */
export interface AtHome {
  readonly token: string;
  /** Starts `daypass …`. */
  daypass(words: readonly string[], options?: CommandOptions): Running;
  /** The same at a terminal, of 80 columns unless told: what it shows is standard output, what is typed standard input. */
  atTerminal(words: readonly string[], columns?: number): Running;
}

/** Logs somebody in, as `daypass login` does. @param port - where the gateway is reached, when that is not its own */
export async function atHome(
  t: Test,
  gateway: TestGateway,
  subject: string,
  port = gateway.ports.http,
): Promise<AtHome> {
  const home = await mkdtemp('/tmp/dp-home-');
  t.teardown(() => rm(home, { recursive: true, force: true }));
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ link: await linkFor(gateway, subject), client: 'test' });
  const made = await askApi(gateway.ports.http, { method: 'POST', path: '/api/v1/tokens', body, headers });
  await mkdir(join(home, 'daypass'), { mode: 0o700 });
  const kept = JSON.stringify({ [`http://localhost:${port}`]: made.body });
  await writeFile(join(home, 'daypass', 'tokens.json'), kept, { mode: 0o600 });
  const env = { XDG_CONFIG_HOME: home, DAYPASS_DATA: undefined, DAYPASS_GATEWAY: undefined };
  const run = (program: string, words: readonly string[], options: CommandOptions = {}) => {
    const running = start(program, words, { ...options, env: { ...env, ...options.env } });
    t.teardown(() => void running.process.kill());
    return running;
  };
  return {
    token: String(made.body.token),
    daypass: (words, options) => run(process.execPath, [MAIN, ...words], options),
    atTerminal: (words, columns = 80) => {
      const line = `stty cols ${columns}; exec '${process.execPath}' '${MAIN}' ${words.join(' ')}`;
      return run('script', ['-qefc', line, '-E', 'always', '/dev/null'], { typing: true });
    },
  };
}
