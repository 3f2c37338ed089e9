import t from 'tap';
import { publishedSchemas } from '../../src/config/schema.js';
import { letters } from './fixture.js';

t.test('the published schema describes what stands in a file, not what it resolves to', async (t) => {
  const { gateway, service } = publishedSchemas([letters]);
  const secret = { anyOf: [{ properties: { env: { type: 'string' } } }, { properties: { file: { type: 'string' } } }] };
  t.match(gateway.properties, { database: secret, staleness: { anyOf: [{ const: 0 }, { type: 'string' }] } });
  t.equal(gateway.additionalProperties, false);
  t.match(service.oneOf, [
    {
      additionalProperties: false,
      properties: {
        protocol: { const: 'letters' },
        upstream: { additionalProperties: false, properties: { password: secret } },
        roles: {
          minProperties: 1,
          additionalProperties: { additionalProperties: false, properties: { extends: {}, allow: { type: 'array' } } },
        },
        grants: { properties: { max_duration: { type: 'string', pattern: '^[1-9]\\d*[smhd]$' } } },
      },
    },
  ]);
});
