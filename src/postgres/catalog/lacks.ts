import type { Analysis } from '../sql/analysis.js';
import { partsOf } from '../sql/names.js';
import { type Catalog, relationIn, resolveIn } from './catalog.js';

/**
 * Whether a text names a relation that the catalog does not hold: it may have been made since. What is named so is judged
 * by its name alone (columns: refused), and PostgreSQL itself says when there is no such thing.
 */
export function lacks(catalog: Catalog, analysis: Analysis, schema: string | undefined): boolean {
  if (!analysis.ok) return false;
  return analysis.statements.flatMap(partsOf).some(({ reads, writes }) =>
    [...reads, ...writes.map((write) => write.relation)].some((relation) => {
      const resolved = resolveIn(catalog, relation, schema);
      return (
        resolved.schema !== 'pg_catalog' && resolved.schema !== 'information_schema' && !relationIn(catalog, resolved)
      );
    }),
  );
}
