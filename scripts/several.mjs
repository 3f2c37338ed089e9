// `node scripts/several.mjs <test files>`: runs test files one after another in one process. Loading the modules of a gateway
// takes longer than most of them.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const files = process.argv.splice(2);
// tap names the folders of its fixtures by what was started: not one for two processes, and not by all of these.
process.argv[1] = resolve(files[0]);
const { default: t } = await import('tap');

// What the files register waits behind it: without it, the run would end between two of them.
t.test('the files are loaded', async (t) => {
  for (const file of files) await import(pathToFileURL(resolve(file)).href);
  t.pass();
});
