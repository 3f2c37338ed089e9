import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { ByName, Catalog, CatalogFunctions, CatalogOperator, CatalogRelation, CatalogType } from './catalog.js';

/** The rows of the queries in queries.ts; nothing that a server sends is believed to have a shape. */
const number = z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)]);
const rows = z.object({
  relations: z.array(
    z.object({
      schema: z.string(),
      name: z.string(),
      kind: z.string(),
      row_type: number,
      columns: z.array(z.string()),
      types: z.array(number),
    }),
  ),
  functions: z.array(
    z.object({
      schema: z.string(),
      name: z.string(),
      takes_row: z.boolean().nullable(),
      takes_one: z.boolean(),
      made: z.boolean(),
    }),
  ),
  operators: z.array(z.object({ schema: z.string(), name: z.string(), left: number, right: number, by: z.string() })),
  types: z.array(
    z.object({
      id: number,
      schema: z.string(),
      name: z.string(),
      kind: z.string(),
      element: number,
      extension: z.boolean(),
    }),
  ),
  casts: z.array(
    z.object({
      source: number,
      target: number,
      target_name: z.string(),
      by: z.string(),
      implicit: z.boolean(),
      assigned: z.boolean(),
    }),
  ),
  system: z
    .array(z.object({ relations: z.array(z.string()), types: z.array(z.string()), operators: z.array(z.string()) }))
    .length(1),
});

/**
 * Makes a catalog of what was read.
 * @throws ZodError when the rows are not what was asked for
 */
export function catalogOf(read: unknown): Catalog {
  const given = rows.parse(read);
  const [system] = given.system;
  const types = new Map<number, CatalogType>(given.types.map(({ id, ...type }) => [id, type]));
  return {
    version: createHash('sha256').update(JSON.stringify(given)).digest('hex'),
    relations: byName(given.relations, (row): CatalogRelation => {
      const { schema, name, kind, columns, types } = row;
      return { schema, name, kind, columns, types, rowType: row.row_type };
    }),
    functions: byName(given.functions, (row): CatalogFunctions => {
      return { takesRow: row.takes_row ?? false, takesOne: row.takes_one, made: row.made };
    }),
    operators: operatorsOf(given.operators, types),
    types,
    typeNames: byName(given.types, (row) => row),
    casts: given.casts.map(({ target_name, ...cast }) => ({ ...cast, targetName: target_name })),
    systemRelations: new Set(system?.relations),
    systemTypes: new Set(system?.types),
    systemOperators: new Set(system?.operators),
  };
}

function operatorsOf(
  given: z.output<typeof rows>['operators'],
  types: ReadonlyMap<number, CatalogType>,
): ByName<readonly CatalogOperator[]> {
  const element = (type: number) => types.get(type)?.element || type;
  return byName(given, (row, known?: readonly CatalogOperator[]) => {
    const { left, right, by } = row;
    return [...(known ?? []), { left: element(left), right: element(right), by }];
  });
}

function byName<R extends { readonly schema: string; readonly name: string }, T>(
  given: readonly R[],
  make: (row: R, known?: T) => T,
): ByName<T> {
  const schemas = new Map<string, Map<string, T>>();
  for (const row of given) {
    const names = schemas.get(row.schema) ?? new Map<string, T>();
    schemas.set(row.schema, names);
    names.set(row.name, make(row, names.get(row.name)));
  }
  return schemas;
}
