import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { RouteName } from './may.js';
import { problem } from './problem.js';

/** How the API describes itself: its routes' own schemas, and the problem that each may answer with. */
export function described(version: string): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Daypass',
        version,
        description:
          'Access to internal services for one task and a short time: asked for, agreed to, recorded, ended.',
      },
      servers: [{ url: '/' }],
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'a token of `daypass login`: dpt_…' },
          login: {
            type: 'apiKey',
            in: 'cookie',
            name: '__Host-daypass',
            description: 'the login of a browser; what changes something also needs the header Daypass-CSRF: 1',
          },
        },
      },
      security: [{ token: [] }, { login: [] }],
    },
    transform: (document) => withProblem(jsonSchemaTransform(document), document.route.config?.name),
  };
}

type Described = ReturnType<typeof jsonSchemaTransform>;

const PROBLEM = {
  description: 'What is wrong, and what to do about it (RFC 9457)',
  content: { 'application/problem+json': { schema: z.toJSONSchema(problem, { target: 'draft-2020-12' }) } },
};

function withProblem({ schema, url }: Described, operationId: RouteName | undefined): Described {
  if (schema === undefined || 'hide' in schema) return { schema, url };
  const response = 'response' in schema && typeof schema.response === 'object' ? schema.response : {};
  return {
    schema: { ...schema, ...(operationId && { operationId }), response: { ...response, default: PROBLEM } },
    url,
  };
}
