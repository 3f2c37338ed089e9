import { mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { dataDirectory } from '../../src/config/data.js';

const ann = { uid: 1000, home: '/home/ann' };
const root = { uid: 0, home: '/root' };

t.test('DAYPASS_DATA wins, and is made absolute', async (t) => {
  t.equal(dataDirectory({ DAYPASS_DATA: '/srv/x' }, t.testdirName, ann), '/srv/x');
  t.equal(dataDirectory({ DAYPASS_DATA: 'here' }, '/', ann), join(process.cwd(), 'here'));
});

t.test("root's data is outside root's home, everyone else's inside their own", async (t) => {
  const checkout = t.testdir();
  t.match(dataDirectory({}, checkout, root), /^\/var\/lib\/daypass\/[0-9a-f]{12}$/);
  t.match(dataDirectory({}, checkout, ann), /^\/home\/ann\/\.local\/share\/daypass\/[0-9a-f]{12}$/);
  t.match(dataDirectory({ DAYPASS_DATA: '' }, checkout, ann), /^\/home\/ann\//);
});

t.test('two checkouts have two folders, and two names of one checkout have one', async (t) => {
  const parent = realpathSync(t.testdir());
  mkdirSync(join(parent, 'a'));
  mkdirSync(join(parent, 'b'));
  symlinkSync('a', join(parent, 'link'));
  const of = (name: string) => dataDirectory({}, join(parent, name), ann);
  t.not(of('a'), of('b'));
  t.equal(of('a'), of('link'));
});
