import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import t from 'tap';
import { decide, describeSql, type PostgresAction } from '../../src/postgres/decide.js';
import { postgresProtocol } from '../../src/postgres/protocol.js';
import { analyse, loadParser, MAX_TEXT } from '../../src/postgres/sql/analyse.js';
import { facing, honest } from '../postgres/hostile.js';
import { READER, roleOf } from '../postgres/role.js';
import { waitUntil } from '../support/wait.js';
import { bind, execute, loggedIn, parse, sync } from '../support/wire.js';

await loadParser();

const actionOf = (text: string): PostgresAction => ({ text, analysis: analyse(text), contained: [], via: 'query' });

/** `$a0$$a1$…`: dollar quotes in one another, none of which ends. */
const nested = (depth: number) => Array.from({ length: depth }, (_, i) => `$a${i}$`).join('');

t.test('what is allowed stands in the record with its text, however deep its dollar quotes nest (D24)', (t) => {
  const action = actionOf(`select * from orders where $z$${nested(6_000)} password$z$ <> status`);
  t.equal(decide(roleOf(READER), action).outcome, 'allow');
  t.equal(describeSql(action, 'public').payload?.text, action.text);
  t.end();
});

t.test('a secret in a dollar quote in thousands of others is cut out all the same (D27)', (t) => {
  const action = actionOf(`do $z$${nested(20_000)} alter role a password 'hunter2'$z$`);
  t.notMatch(describeSql(action, 'public', 'recorded', true).payload?.text, /hunter2/);
  t.end();
});

t.test('a text that is refused for its length is recorded by its beginning, its length and its hash', (t) => {
  const role = roleOf(READER);
  const texts = {
    short: `alter role a password 'hunter2' -- ${'x'.repeat(MAX_TEXT)}`,
    'ends in a literal': `select 'postgres://u:hunter2${'x'.repeat(8_000)}hunter2@h/d${'x'.repeat(MAX_TEXT)}'`,
    'ends in a dollar quote': `do $$ perform connect('postgres://u:hunter2${'x'.repeat(16 * MAX_TEXT)}@h'); $$`,
  };
  for (const [what, text] of Object.entries(texts)) {
    const action = actionOf(text);
    t.match(decide(role, action), { outcome: 'deny', reason: 'too_large' });
    const { payload } = postgresProtocol.describe(action, role);
    const sha256 = createHash('sha256').update(text).digest('hex');
    t.match(payload, { length: text.length, sha256 }, what);
    t.ok((payload?.text?.length ?? 0) < MAX_TEXT / 4, what);
    t.notMatch(payload?.text, 'hunter2', what);
  }
  t.end();
});

t.test('a text of any length that a role may run is recorded whole', (t) => {
  const role = roleOf({ allow: [{ statements: ['any'] }] });
  const text = `select '${'x'.repeat(2 * MAX_TEXT)}' -- no password`;
  t.same(postgresProtocol.describe(actionOf(text), role).payload, { text });
  t.end();
});

t.test('a long statement that is run again and again leaves no record that is too long to be read', async (t) => {
  const silent = honest(() => {});
  const { gatewayPort, handle, database } = await facing(t, silent, 10_000);
  const { client } = await loggedIn(t, gatewayPort, handle);
  const again = (message: Buffer) => Buffer.concat(Array.from({ length: 300 }, () => message));
  const long = parse('', `select '${'x'.repeat(MAX_TEXT / 2)}'`);
  client.send(long, bind('', ''), again(execute('')), again(Buffer.concat([bind('', ''), sync()])));
  const blocks = () =>
    database.query<{ payload: Buffer; last: string }>('select payload, last_seq as last from daypass.blocks');
  await waitUntil('all of it is recorded', async () => (await blocks()).some(({ last }) => Number(last) > 600));
  const most = Math.max(...(await blocks()).map(({ payload }) => inflateRawSync(payload).length));
  t.ok(most < 1024 * 1024, `${most} bytes in one block`);
});
