import { readFileSync } from 'node:fs';
import { DaypassError, messageOf } from '../errors.js';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads `KEY=VALUE` lines; empty lines and lines that begin with `#` are skipped, nothing is unquoted or expanded.
 * @returns no keys when the file does not exist
 * @throws DaypassError `env_file` when it cannot be read or has another kind of line (the line is not repeated)
 */
export function readEnvFile(path: string): Readonly<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const [index, line] of readLines(path).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line);
    if (match === null) throw new DaypassError('env_file', `${path}:${index + 1}: expected KEY=VALUE`);
    const [, key = '', value = ''] = match;
    values[key] = value;
  }
  return values;
}

/** An environment with a file's values for what is not set in it. */
export function withEnvFile(env: Environment, path: string): Environment {
  return { ...readEnvFile(path), ...env };
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split(/\r?\n/);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw new DaypassError('env_file', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
