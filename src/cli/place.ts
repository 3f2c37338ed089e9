import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataDirectory } from '../config/data.js';

/** The folder of package.json, seen from the compiled file in `dist/src/cli/`. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** The folder of this installation. */
export function packageRoot(): string {
  return ROOT;
}

/** The data directory: `--data`, then `DAYPASS_DATA`, then the checkout's own. */
export function dataDirectoryOf(option: string | undefined): string {
  return dataDirectory(option === undefined ? process.env : { ...process.env, DAYPASS_DATA: option }, ROOT);
}

/** Whether a command that names no data directory would find this one, in a terminal where `DAYPASS_DATA` is not set. */
export function isDefaultPlace(directory: string): boolean {
  try {
    return directory === dataDirectory({}, ROOT);
  } catch {
    return false; // a container's user may have no home
  }
}

/** Where the gateway of a data directory listens for operators. */
export function socketOf(dataDirectory: string): string {
  return join(dataDirectory, 'daypass.sock');
}

/** The version in package.json. */
export function versionOfPackage(): string {
  const { version }: { version: string } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return version;
}
