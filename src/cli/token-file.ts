import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { DaypassError, messageOf } from '../errors.js';

/** What `daypass login` keeps of one gateway. */
export interface KeptToken {
  readonly token: string;
  readonly subject: string;
  /** ISO 8601. */
  readonly expiresAt: string;
  /** PEM: the authorities that vouch for the gateway, when they were named. */
  readonly ca?: string | undefined;
}

const fileSchema = z.record(
  z.string(),
  z.object({ token: z.string(), subject: z.string(), expiresAt: z.string(), ca: z.string().optional() }),
);

/** `~/.config/daypass/tokens.json`; a relative XDG_CONFIG_HOME counts as none (XDG Base Directory Specification). */
export function tokenFile(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const { XDG_CONFIG_HOME: config = '' } = env;
  return join(isAbsolute(config) ? config : join(homedir(), '.config'), 'daypass', 'tokens.json');
}

/** The tokens that are kept, by the gateway's address. @throws DaypassError `token_file` for a file that holds something else */
export async function keptTokens(path = tokenFile()): Promise<ReadonlyMap<string, KeptToken>> {
  try {
    return new Map(Object.entries(fileSchema.parse(JSON.parse(await readFile(path, 'utf8')))));
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return new Map();
    const why = cause instanceof z.ZodError || cause instanceof SyntaxError ? 'it holds no tokens' : messageOf(cause);
    throw new DaypassError('token_file', `${path} cannot be read: ${why}.`, {
      cause,
      hint: 'Remove it and log in again.',
    });
  }
}

/** Keeps a gateway's token, or forgets it. The file is replaced as a whole; nobody else can read it at any moment. */
export async function keepToken(gateway: string, kept: KeptToken | null, path = tokenFile()): Promise<void> {
  const tokens = new Map(await keptTokens(path));
  if (kept === null) tokens.delete(gateway);
  else tokens.set(gateway, kept);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writeFile(fresh, `${JSON.stringify(Object.fromEntries(tokens), null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    await rename(fresh, path);
  } finally {
    await rm(fresh, { force: true });
  }
}
