import { z } from 'zod';
import { gatewaySchema } from './gateway.js';
import type { ProtocolConfig } from './protocol.js';
import { serviceFrameSchema } from './service.js';
import { nameSchema, standInSchemas } from './values.js';

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The JSON Schemas that ship with the package, for editors. They describe what stands in a file. */
export interface PublishedSchemas {
  /** For `daypass.yaml`. */
  readonly gateway: JsonSchema;
  /** For `services/*.yaml`. */
  readonly service: JsonSchema;
}

/** Derives the published schemas from the ones that load the files; what holds between keys is not in them. */
export function publishedSchemas(protocols: readonly ProtocolConfig[]): PublishedSchemas {
  const gateway = toJson(gatewaySchema({ env: {}, directory: '/' }));
  return {
    gateway: { ...gateway, title: 'Daypass: the gateway' },
    service: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      title: 'Daypass: a service',
      oneOf: protocols.map(serviceJson),
    },
  };
}

function serviceJson(protocol: ProtocolConfig): JsonSchema {
  const values = standInSchemas();
  const { $schema: _, ...frame } = toJson(serviceFrameSchema);
  const role = withExtends(inner(protocol.role(values)));
  return {
    ...frame,
    title: protocol.name,
    properties: {
      ...frame.properties,
      protocol: { const: protocol.name },
      upstream: inner(protocol.upstream(values)),
      roles: { type: 'object', propertyNames: inner(nameSchema), additionalProperties: role, minProperties: 1 },
    },
  };
}

/** Adds the one key of a role that is not its protocol's, in every form a role may have. */
function withExtends(role: JsonSchema): JsonSchema {
  const { anyOf, properties } = role;
  if (anyOf !== undefined) return { ...role, anyOf: anyOf.map((form) => withExtends(form)) };
  return { ...role, properties: { extends: inner(nameSchema), ...properties } };
}

function inner(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = toJson(schema);
  return rest;
}

function toJson(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
}
