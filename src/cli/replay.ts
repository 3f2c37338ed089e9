import { once } from 'node:events';
import { Command } from 'commander';
import { DaypassError } from '../errors.js';
import { harmlessJson } from '../log.js';
import { type ActorOptions, query, withActor, withGateway } from './run.js';

/** How the gateway says, in a stream of events, that it could not read on. */
const FAULT_LINE = /^\{"error":/m;

/** `daypass replay <id>`: what was done, in order, in words. With `--json` one event a line, since a recording may be long. */
export function replayCommand(): Command {
  const command = new Command('replay')
    .description('what was done in a session, in order; that it was looked at is recorded')
    .argument('<id>', 'the session');
  return withActor(command).action((id: string, options: ActorOptions) =>
    withGateway(options, async (gateway) => {
      const json = options.json === true;
      const path = `/v1/sessions/${encodeURIComponent(id)}/${json ? 'events' : 'replay'}${query({ by: options.by })}`;
      let line = '';
      for await (const piece of gateway.stream(path)) {
        if (!process.stdout.write(json ? harmlessJson(piece) : piece)) await once(process.stdout, 'drain');
        if (json) line = (line + piece).slice(-4_096);
      }
      const last = line.trimEnd().split('\n').pop() ?? '';
      if (FAULT_LINE.test(last)) throw new DaypassError('cut_off', 'The recording could not be read to its end.');
      return 0;
    }),
  );
}
