import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { startWithPeople } from './ground.js';

/** Set to rewrite the file instead of comparing it. */
const REWRITE = process.env.DAYPASS_WRITE_SCHEMAS === '1';

const PATH = fileURLToPath(new URL('../../../schema/openapi.json', import.meta.url));

t.test('the description of the API that ships with the package is what a gateway answers', async (t) => {
  const { ask } = await startWithPeople(t);
  const { text } = await ask({ path: '/api/v1/openapi.json' });
  if (REWRITE) writeFileSync(PATH, text);
  t.equal(readFileSync(PATH, 'utf8'), text, 'rewrite with DAYPASS_WRITE_SCHEMAS=1');
});

t.test('every route of the API says what it takes, what it answers and what a refusal looks like', async (t) => {
  const { paths }: { paths: Record<string, Record<string, Operation>> } = JSON.parse(readFileSync(PATH, 'utf8'));
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, { summary, responses, requestBody, operationId }] of Object.entries(operations)) {
      const name = `${method} ${path}`;
      t.match(summary, /\S/, name);
      t.match(operationId, /^[a-z]+\.[a-z]+$/, name);
      t.ok(responses.default?.content['application/problem+json'], name);
      t.ok(
        Object.keys(responses).some((status) => status.startsWith('2') || status === '101'),
        name,
      );
      t.equal(requestBody !== undefined, method === 'post', name);
    }
  }
});

t.test('what a list may be narrowed by is described', async (t) => {
  const { paths }: { paths: Record<string, Record<string, Operation>> } = JSON.parse(readFileSync(PATH, 'utf8'));
  const namesOf = (path: string) => (paths[path]?.get?.parameters ?? []).map(({ name }) => name);
  t.same(namesOf('/api/v1/reports/repeated'), ['since', 'times', 'of', 'only', 'service', 'limit']);
  t.same(namesOf('/api/v1/people'), ['sponsor', 'open', 'limit', 'cursor']);
});

interface Operation {
  readonly parameters?: readonly { readonly name: string }[];
  readonly summary?: string;
  readonly operationId?: string;
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, unknown>> }>>;
}
