import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Compiled, Problem } from '../../src/config/protocol.js';
import { DaypassError } from '../../src/errors.js';
import type { Protocol } from '../../src/gate/protocol.js';
import { allow, deny } from '../../src/policy/decision.js';

interface LetterUpstream {
  readonly password: string;
}

interface LetterRole {
  readonly allow: ReadonlySet<string>;
  readonly pattern: RegExp;
}

const blockSchema = z.strictObject({
  allow: z.array(z.string()),
  limits: z.array(z.strictObject({ maximum: z.number() })).optional(),
});

/** A protocol small enough to see through: an action is a letter, a role is a set of letters. */
export const letters: Protocol<LetterRole, string, LetterUpstream> = {
  name: 'letters',
  upstream: ({ address, secret, url }) =>
    z.strictObject({ address, user: z.string(), password: secret, web: url.optional() }),
  role: () => blockSchema,
  compileRole: (_name, chain): Compiled<LetterRole> => {
    const blocks = z.array(blockSchema).parse(chain);
    const problems = (blocks.at(-1)?.allow ?? []).flatMap((letter, index): Problem[] =>
      letter.length === 1 ? [] : [{ path: ['allow', index], message: `not a letter: ${letter}`, hint: 'one letter' }],
    );
    if (problems.length > 0) return { ok: false, problems };
    return { ok: true, value: { allow: new Set(blocks.flatMap((block) => block.allow)), pattern: /x/ } };
  },
  rulesOf: (role) => [...role.allow].map((letter) => `allow ${letter}`),
  narrow: (role, texts) => ({
    ...role,
    allow: new Set([...role.allow].filter((letter) => texts.has(`allow ${letter}`))),
  }),
  looser: () => [],
  injected: ({ password }) => [{ value: password, forms: [password] }],
  decide: (role, letter) => {
    if (letter === '!') throw new Error('no such letter');
    if (role.allow.has(letter)) return allow(`allow ${letter}`);
    return deny('out_of_scope', 'no rule allows it', `The letter ${letter} is not allowed.`, 'Ask for another role.');
  },
  describe: (letter) => ({ facts: { verb: letter } }),
  actionFromWords: ([letter, ...more]) => {
    if (letter === undefined || more.length > 0) throw new DaypassError('usage', 'expected one letter');
    return letter;
  },
  render: ({ facts }) => facts.verb ?? '',
};

/** A gateway file that says the least. */
export const GATEWAY = `domain: localhost
listen: { http: 127.0.0.1:8080, postgres: 127.0.0.1:6432, health: 127.0.0.1:9464 }
`;

/** A service file without fault; line numbers in tests are those of this text. */
export const SERVICE = `service: letters-a
protocol: letters
lane: production
owner: group:letter-leads
upstream:
  address: 127.0.0.1:5433
  user: writer
  password: { env: LETTERS_PASSWORD }
roles:
  reader:
    allow: [a, b]
  writer:
    extends: reader
    allow: [c]
grants: { max_duration: 4h, max_renewals: 1 }
recording: { mode: buffered }
`;

export const ENV = { LETTERS_PASSWORD: 'hunter2' };

/** Writes a configuration directory; a name without folder is a service file. */
export function writeConfig(directory: string, files: Readonly<Record<string, string>>): string {
  const all = { 'daypass.yaml': GATEWAY, ...files };
  mkdirSync(join(directory, 'services'), { recursive: true });
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}
