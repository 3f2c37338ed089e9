import { Command } from 'commander';
import { type ActorOptions, tell, withActor, withGateway } from './run.js';
import { logOutHere } from './tool-login.js';
import { facts } from './words.js';

interface LoginOptions extends ActorOptions {
  readonly reason: string;
}

interface LogoutOptions extends ActorOptions {
  readonly reason?: string;
  readonly gateway?: string;
}

/** `daypass login-link`. */
export function loginLinkCommand(): Command {
  const command = new Command('login-link')
    .description('a link that logs one browser in, once, within ten minutes')
    .argument('<principal>', 'who logs in')
    .requiredOption('--reason <text>', 'what it is for, one sentence');
  return withActor(command).action((principal: string, options: LoginOptions) =>
    withGateway(options, async (gateway) => {
      const asked = { principal, reason: options.reason, by: options.by };
      const { body } = await gateway.ask<{ url: string; expiresAt: string }>('POST', '/v1/login-links', asked);
      tell(options, body, ({ url, expiresAt }) =>
        facts([
          ['login', principal],
          ['link', `${url}   (works once, in one browser)`],
          ['until', expiresAt],
        ]),
      );
      return 0;
    }),
  );
}

/** `daypass logout`: of this command line, or, by the operator, of a person. */
export function logoutCommand(): Command {
  const command = new Command('logout')
    .description('log this command line out; with a name, by the operator: end all logins of that person')
    .argument('[principal]', 'who is logged out: what they opened is cut, their grants stay')
    .option('--reason <text>', 'why a person is logged out, one sentence')
    .option('--gateway <address>', 'where this command line is logged out');
  return withActor(command).action((principal: string | undefined, options: LogoutOptions) => {
    if (principal === undefined) return logOutHere(options);
    if (options.reason === undefined) command.error("error: required option '--reason <text>' not specified");
    return withGateway(options, async (gateway) => {
      const asked = { principal, reason: options.reason, by: options.by };
      const { body } = await gateway.ask<{ logins: number }>('POST', '/v1/logouts', asked);
      tell(options, body, ({ logins }) => `${principal} is logged out everywhere (${logins} logins)`);
      return 0;
    });
  });
}
