// Compiles src/ and test/ into dist/, and copies what is not TypeScript (SQL, JSON, HTML) beside it.
// Nothing but Node and the installed compiler is needed. Run it as `npm run build`, or import `build`.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const BUILD_INFO = join(root, 'dist/.tsbuildinfo');

/** Builds; the compiler skips what has not changed. Throws with a line for people when it fails. */
export function build() {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const command = join(root, 'dist/src/cli/main.js');
  if (!existsSync(compiler)) {
    if (existsSync(command)) return; // installed without the developers' packages: built already
    throw new Error('the TypeScript compiler is not installed: run "npm ci" (with development packages)');
  }
  compile(compiler);
  if (missingOutputs().length > 0) {
    rmSync(BUILD_INFO, { force: true }); // outputs were deleted by hand: the compiler would not notice
    compile(compiler);
  }
  for (const part of ['src', 'test']) {
    copyAssets(part);
    prune(part);
  }
  if (existsSync(command)) chmodSync(command, 0o755);
}

function compile(compiler) {
  const { status, error } = spawnSync(process.execPath, [compiler, '-p', root], { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) throw new Error('the build failed: see the errors above');
}

function missingOutputs() {
  const sources = ['src', 'test'].flatMap((part) => filesUnder(join(root, part)).filter((file) => isSource(file)));
  return sources.filter((file) => !existsSync(outputOf(file)));
}

function copyAssets(part) {
  for (const file of filesUnder(join(root, part)).filter((name) => !isTypeScript(name))) {
    const target = join(root, 'dist', relative(root, file));
    if (existsSync(target) && statSync(target).mtimeMs >= statSync(file).mtimeMs) continue;
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(file, target);
  }
}

/** Removes outputs whose source is gone: a test that was deleted must not run on. */
function prune(part) {
  const wanted = new Set();
  for (const file of filesUnder(join(root, part))) {
    if (isSource(file)) wanted.add(outputOf(file)).add(`${outputOf(file)}.map`);
    else wanted.add(join(root, 'dist', relative(root, file)));
  }
  for (const file of filesUnder(join(root, 'dist', part))) if (!wanted.has(file)) rmSync(file);
}

function outputOf(source) {
  return join(root, 'dist', relative(root, source)).replace(/\.ts$/, '.js');
}

function isTypeScript(file) {
  return file.endsWith('.ts');
}

function isSource(file) {
  return isTypeScript(file) && !file.endsWith('.d.ts');
}

function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

/** Whether a script is what Node was started with, and not imported. */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url);
}

if (isMain(import.meta.url)) {
  try {
    build();
  } catch (failure) {
    console.error(`daypass: ${failure.message}`);
    process.exitCode = 1;
  }
}
