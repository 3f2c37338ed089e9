#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { activateCommand } from './activate.js';
import { alertsCommand } from './alerts.js';
import { approveCommand } from './approve.js';
import { auditCommand } from './audit.js';
import { closeOutCommand } from './closeout.js';
import { connectCommand } from './connect.js';
import { grantCommand } from './grant.js';
import { loginLinkCommand, logoutCommand } from './login.js';
import { indexCommand, reloadCommand, statusCommand } from './maintenance.js';
import { ndaCommand } from './nda.js';
import { noticesCommand } from './notices.js';
import { offboardCommand } from './offboard.js';
import { inviteCommand, peopleCommand } from './people.js';
import { dataDirectoryOf, versionOfPackage } from './place.js';
import { refuseCommand } from './refuse.js';
import { renewCommand } from './renew.js';
import { replayCommand } from './replay.js';
import { reportCommand } from './report.js';
import { requestCommand } from './request.js';
import { requestsCommand } from './requests.js';
import { returnCommand } from './return.js';
import { reviewCommand } from './review.js';
import { reviewsCommand } from './reviews.js';
import { revokeCommand } from './revoke.js';
import { tellFault } from './run.js';
import { serveCommand, startCommand } from './serve.js';
import { servicesCommand } from './services.js';
import { sessionsCommand } from './sessions.js';
import { loginCommand, whoamiCommand } from './tool-login.js';
import { verifyCommand } from './verify.js';
import { withdrawCommand } from './withdraw.js';

/**
 * The `daypass` command. The verbs that read configuration bring a SQL parser with them, so they are loaded only when they
 * are asked for: the everyday verbs start fast.
 */
async function program(words: readonly string[]): Promise<Command> {
  const root = new Command('daypass')
    .description('Access to internal services for one task and a short time: granted, recorded, ended on time.')
    .version(versionOfPackage());
  const verbs = [grantCommand(), sessionsCommand(), replayCommand(), verifyCommand(), statusCommand(), reloadCommand()];
  const asking = [servicesCommand(), requestCommand(), requestsCommand(), withdrawCommand(), activateCommand()];
  const using = [connectCommand(), renewCommand(), returnCommand()];
  const deciding = [approveCommand(), refuseCommand(), reviewCommand(), revokeCommand(), ndaCommand()];
  const logins = [
    loginCommand(),
    logoutCommand(),
    whoamiCommand(),
    loginLinkCommand(),
    inviteCommand(),
    peopleCommand(),
  ];
  const leaving = [closeOutCommand(), offboardCommand(), reportCommand()];
  for (const verb of [
    ...[...asking, ...using, ...deciding],
    ...verbs,
    ...logins,
    ...leaving,
    noticesCommand(),
    reviewsCommand(),
    alertsCommand(),
    auditCommand(),
    indexCommand(),
    serveCommand(),
    startCommand(),
    ...(await policyVerbs(words)),
  ]) {
    root.addCommand(verb);
  }
  for (const command of withChildren(root)) command.exitOverride();
  if (words.includes('--json')) {
    for (const command of withChildren(root)) command.configureOutput({ writeErr: () => {} });
  }
  return root;
}

/** `check`, `policy` and `service`, or their names alone for the list of verbs. */
async function policyVerbs(words: readonly string[]): Promise<Command[]> {
  if (!['check', 'policy', 'service'].some((verb) => words.includes(verb))) {
    return [
      new Command('check').description('validate the configuration and report every problem at once'),
      new Command('policy').description('ask the policy'),
      new Command('service').description('what a service needs of its upstream'),
    ];
  }
  const [{ checkCommand }, { policyCommand }, { serviceCommand }] = await Promise.all([
    import('./check.js'),
    import('./policy.js'),
    import('./service.js'),
  ]);
  const loadProtocols = async () => (await import('../protocols.js')).loadProtocols();
  const tools = { loadProtocols, dataDirectory: () => dataDirectoryOf(undefined) };
  return [checkCommand(tools), policyCommand(tools), serviceCommand(tools)];
}

function withChildren(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withChildren)];
}

/** Exit codes: 0 done, 1 refused or failed, 2 usage, 3 no gateway, 4 the ledger's write is queued, 5 not logged in, 6 access over. */
async function main(words: readonly string[]): Promise<void> {
  const json = words.includes('--json');
  try {
    await (await program(words)).parseAsync([...words], { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) return tellFault(thrown, json);
    process.exitCode = thrown.exitCode === 0 ? 0 : 2;
    if (json && thrown.exitCode !== 0) {
      process.stderr.write(`${JSON.stringify({ error: { code: 'usage', message: thrown.message } })}\n`);
    }
  }
}

// Whoever reads our output may stop reading (`| head`): that is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

await main(process.argv.slice(2));

// When nothing is left to wait for. Left to itself Node then frees what there was, and was seen to wait, busily and for ever, for
// what connections that had been reset still owed (Environment::CleanupHandles).
process.once('beforeExit', () => process.exit());
