import type { Catalog } from './catalog/catalog.js';
import { CASTS, FUNCTIONS, OPERATORS, RELATIONS, SYSTEM_NAMES, TYPES } from './catalog/queries.js';
import { catalogOf } from './catalog/rows.js';
import type { PostgresTarget } from './role.js';
import { askUpstream } from './upstream-client.js';

/**
 * Reads what a database holds, in one moment of it.
 * @throws when it cannot be reached, does not answer in time, or answers nonsense
 */
export function loadCatalog(target: PostgresTarget): Promise<Catalog> {
  return askUpstream(target, 'catalog', async (ask) =>
    catalogOf({
      relations: await ask(RELATIONS),
      functions: await ask(FUNCTIONS),
      operators: await ask(OPERATORS),
      types: await ask(TYPES),
      casts: await ask(CASTS),
      system: await ask(SYSTEM_NAMES),
    }),
  );
}
