import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { publishedSchemas } from '../../src/config/schema.js';
import { loadProtocols } from '../../src/protocols.js';

/** Set to rewrite the files instead of comparing them. */
const REWRITE = process.env.DAYPASS_WRITE_SCHEMAS === '1';

/** The package's `schema/`, seen from the compiled test. */
const FOLDER = fileURLToPath(new URL('../../../schema/', import.meta.url));

t.test('the schemas that ship with the package are those that load the files', async (t) => {
  const { gateway, service } = publishedSchemas(await loadProtocols());
  for (const [name, schema] of Object.entries({ daypass: gateway, service })) {
    const path = `${FOLDER}${name}.schema.json`;
    const text = `${JSON.stringify(schema, null, 2)}\n`;
    if (REWRITE) {
      mkdirSync(FOLDER, { recursive: true });
      writeFileSync(path, text);
    }
    t.equal(readFileSync(path, 'utf8'), text, `${name}: rewrite with DAYPASS_WRITE_SCHEMAS=1`);
  }
});
