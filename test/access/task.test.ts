import t from 'tap';
import { folded, readTask } from '../../src/access/task.js';
import { VAGUE_PHRASES } from '../../src/config/access.js';

const POLICY = { minLength: 20, refuse: VAGUE_PHRASES };
const vague = { code: 'vague_task', hint: /Name what is to be done/ };

t.test('a task that names what is to be done, to what and why is taken as it was written', async (t) => {
  for (const task of [
    'Retry the failed payment of order 4711',
    'Fix bug 812 in the address import: orders of Friday lack a street',
    'Prüfe, warum Rechnung 17 doppelt verschickt wurde',
    '订单四七一一付款失败后重新付款并告诉客户结果如何以及为什么失败',
  ])
    t.equal(readTask(` ${task} `, POLICY), task);
});

t.test('a phrase that could mean anything is no task, however it is written', async (t) => {
  for (const task of [
    'fix bug',
    'FIX  BUG!!!',
    'N/A',
    'fíx búg ..............................',
    't\u200bbd                 .',
  ])
    t.throws(() => readTask(task, { ...POLICY, minLength: 1 }), vague, folded(task));
});

t.test('what is short stays short with dots, blanks and phrases around it', async (t) => {
  t.throws(() => readTask('order 4711', POLICY), vague);
  t.throws(() => readTask('order 4711 ............................', POLICY), vague);
  t.throws(() => readTask('debugging, testing and various things', POLICY), vague);
  t.throws(() => readTask('Bug fix as discussed for order 4711, tbd', POLICY), vague);
  t.throws(() => readTask('', POLICY), { code: 'invalid_request' });
});

t.test('the phrases and the length are the policy’s', async (t) => {
  t.throws(() => readTask('per chat', { minLength: 1, refuse: ['Pér Chat'] }), vague);
  t.equal(readTask('fix bug', { minLength: 1, refuse: [] }), 'fix bug');
});

t.test('a task is one line without control characters, and a handle pasted into it is cut out', async (t) => {
  for (const bad of ['\u0000', '\u001b[2J', '\n', '\u2028', '\u202e', '\ud800'])
    t.throws(() => readTask(`Retry the payment ${bad} of order 4711`, POLICY), { code: 'invalid_request' });
  t.throws(() => readTask('long '.repeat(101), POLICY), { code: 'invalid_request' });
  const secret = 'S'.repeat(43);
  const task = readTask(`Retry the payment of order 4711 with dp_${'a'.repeat(22)}_${secret}`, POLICY);
  t.notMatch(task, secret);
});
