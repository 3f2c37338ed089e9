import { relative } from 'node:path';
import t from 'tap';
import { VAGUE_PHRASES } from '../../src/config/access.js';
import { loadConfig } from '../../src/config/load.js';
import { ENV, letters, SERVICE, writeConfig } from './fixture.js';

function load(directory: string, access: string) {
  const text = SERVICE.replace('recording:', `${access}\nrecording:`);
  return loadConfig(writeConfig(directory, { 'services/letters-a.yaml': text }), [letters], ENV);
}

function accessOf(directory: string, access: string) {
  const loaded = load(directory, access);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.services.get('letters-a')?.access;
}

t.test('without access: nobody can ask', async (t) => {
  t.equal(accessOf(t.testdir({}), ''), undefined);
});

t.test('an empty access: asks for one approval, and knows vague tasks', async (t) => {
  t.strictSame(accessOf(t.testdir({}), 'access: {}'), {
    ...{ approvals: 1, preApproved: [], clock: 'start', ndaRequired: false, breakGlass: null },
    ...{ decideWithinSeconds: 259_200, maxAheadSeconds: 2_592_000 },
    task: { minLength: 20, refuse: VAGUE_PHRASES },
    bases: new Map([
      ['reader', []],
      ['writer', ['reader']],
    ]),
  });
});

t.test('everything that access: may say is read', async (t) => {
  const text = `access:
  approvals: 2
  pre_approved: [reader]
  clock: first_use
  nda: required
  decide_within: 8h
  max_ahead: 7d
  break_glass: { roles: [writer], max_duration: 30m }
  task: { min_length: 30, refuse: ["per chat"] }`;
  t.match(accessOf(t.testdir({}), text), {
    ...{ approvals: 2, preApproved: ['reader'], clock: 'first_use', ndaRequired: true },
    ...{ decideWithinSeconds: 28_800, maxAheadSeconds: 604_800 },
    breakGlass: { roles: ['writer'], maxDurationSeconds: 1_800 },
    task: { minLength: 30, refuse: ['per chat'] },
  });
});

const faults: readonly (readonly [string, string, string])[] = [
  [
    'no approval at all',
    'approvals: 0',
    'not a number of approvals | 1 to 5; roles that need none stand in pre_approved',
  ],
  ['six approvals', 'approvals: 6', 'not a number of approvals | 1 to 5; roles that need none stand in pre_approved'],
  ['a pre-approved role that is not there', 'pre_approved: [raeder]', 'unknown role "raeder" | did you mean "reader"?'],
  [
    'an emergency role that is not there',
    'break_glass: { roles: [wrtier], max_duration: 30m }',
    'unknown role "wrtier" | did you mean "writer"?',
  ],
  [
    'an emergency that lasts longer than any grant',
    'break_glass: { roles: [writer], max_duration: 5h }',
    'longer than any grant of this service | at most grants.max_duration: an emergency is short',
  ],
  [
    'an emergency for no role',
    'break_glass: { roles: [], max_duration: 1h }',
    'no role | name one, or leave break_glass out',
  ],
  ['an NDA that is optional', 'nda: optional', 'not a demand | write nda: required, or leave the key out'],
  ['another clock', 'clock: sunrise', 'expected one of "start"|"first_use"'],
  ['an unknown key', 'aprovals: 2', 'unknown key "aprovals" | did you mean "approvals"?'],
];

for (const [what, line, expected] of faults) {
  t.test(`refused, with its place: ${what}`, async (t) => {
    const directory = t.testdir({});
    const { problems } = load(directory, `access: { ${line} }`);
    t.equal(problems.length, 1, JSON.stringify(problems));
    const [problem] = problems;
    t.equal(relative(directory, problem?.file ?? ''), 'services/letters-a.yaml');
    t.equal(problem?.line, 16);
    const told = problem?.hint === undefined ? problem?.message : `${problem.message} | ${problem.hint}`;
    t.equal(told, expected);
  });
}
