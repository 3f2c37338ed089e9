// Makes a fresh clone runnable: checks Node, installs the packages when they are missing or old, builds.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, root } from './build.mjs';

const STAMP = join(root, 'node_modules/.daypass-installed');

/** Installs and builds as needed. Throws an error whose message says what to do. */
export function prepare() {
  checkNode();
  checkWritable(root);
  if (!installed()) install();
  build();
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new Error(`Node.js 20.19 or newer is needed (24 LTS is a good choice); this is ${process.versions.node}`);
}

/** As when the checkout was first used by root, and now by someone else. */
function checkWritable(folder) {
  for (const path of [folder, join(folder, 'node_modules'), join(folder, 'dist'), join(folder, '.tap')]) {
    if (!existsSync(path)) continue;
    try {
      accessSync(path, constants.W_OK);
    } catch {
      const owner = `chown -R ${process.getuid?.() ?? '<you>'} ${folder}`;
      throw new Error(`${path} belongs to someone else; use a clone of your own, or hand it over: sudo ${owner}`);
    }
  }
}

/** What the packages were installed for: the lock file, and this kind of machine (some hold programs). */
function fingerprint() {
  const lock = join(root, 'package-lock.json');
  const list = existsSync(lock) ? lock : join(root, 'package.json');
  return `${createHash('sha256').update(readFileSync(list)).digest('hex')} ${process.platform}-${process.arch}\n`;
}

function installed() {
  if (existsSync(STAMP)) return readFileSync(STAMP, 'utf8') === fingerprint();
  return installedByHand();
}

/** `npm install` by a developer: npm's own copy of the lock is then as new as the lock. */
function installedByHand() {
  const lock = join(root, 'package-lock.json');
  const npms = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(lock) || !existsSync(npms) || statSync(npms).mtimeMs < statSync(lock).mtimeMs) return false;
  writeFileSync(STAMP, fingerprint());
  return true;
}

/**
 * `npm ci` installs exactly what the lock file says. It refuses a lock file that does not list the packages of every
 * platform, which happens when the lock was made against a registry without them; `npm install` takes the same versions
 * and leaves the rest out.
 */
function install() {
  console.error('daypass: installing packages (once) …');
  const exact = existsSync(join(root, 'package-lock.json')) ? npm(['ci']) : undefined;
  if (exact?.ok !== true) {
    const close = npm(['install', '--no-save']);
    if (!close.ok) throw new Error(`"npm install" failed:\n${exact?.said ?? ''}\n${close.said}`.trim());
  }
  writeFileSync(STAMP, fingerprint());
}

/** Development packages too, whatever NODE_ENV says: the compiler is one of them. */
function npm(verb) {
  const options = ['--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  const self = process.env.npm_execpath;
  const [command, first] = self?.endsWith('.js') ? [process.execPath, [self]] : ['npm', []];
  const { status, error, stdout, stderr } = spawnSync(command, [...first, ...verb, ...options], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error) throw new Error(`npm could not be started: ${error.message}`);
  return { ok: status === 0, said: `${stdout}${stderr}`.trim() };
}
