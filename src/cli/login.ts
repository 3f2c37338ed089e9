import { Command } from 'commander';
import { type ActorOptions, tell, withActor, withGateway } from './run.js';
import { facts } from './words.js';

interface LoginOptions extends ActorOptions {
  readonly reason: string;
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

/** `daypass logout`. */
export function logoutCommand(): Command {
  const command = new Command('logout')
    .description('end all logins of a person in browsers; what they opened is cut, their grants stay')
    .argument('<principal>', 'who is logged out')
    .requiredOption('--reason <text>', 'why, one sentence');
  return withActor(command).action((principal: string, options: LoginOptions) =>
    withGateway(options, async (gateway) => {
      const asked = { principal, reason: options.reason, by: options.by };
      const { body } = await gateway.ask<{ logins: number }>('POST', '/v1/logouts', asked);
      tell(options, body, ({ logins }) => `${principal} is logged out everywhere (${logins} logins)`);
      return 0;
    }),
  );
}
