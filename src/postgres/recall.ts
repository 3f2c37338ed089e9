import type { Recalled, Recaller } from '../gate/protocol.js';
import type { RecordedEvent } from '../recording/event.js';
import type { PostgresAction } from './decide.js';
import type { PostgresRole } from './role.js';
import { analyse } from './sql/analyse.js';
import type { Analysis } from './sql/analysis.js';
import { namesRun } from './sql/names.js';

const VIA = ['query', 'parse', 'bind', 'execute'] as const;

/**
 * Reads recorded statements. What redaction takes are literals, which no rule looks at. What was in the database at that
 * moment is not in the record: statements are judged by the grammar alone, as `daypass policy test` does.
 */
export class PostgresRecaller implements Recaller<PostgresRole, PostgresAction> {
  /** What PREPARE and DECLARE have given names so far in this session. */
  readonly #named = new Map<string, Analysis[]>();

  recall({ facts, payload }: RecordedEvent): Recalled<PostgresRole, PostgresAction> {
    const text = payload?.text;
    if (text === undefined) return { ok: false, why: 'the record does not hold the statement' };
    if (payload?.length !== undefined) return { ok: false, why: 'the statement was too long to be recorded whole' };
    const analysis = analyse(text);
    const via = VIA.find((one) => one === facts.via) ?? 'query';
    const contained = namesRun(analysis).flatMap(({ kind, name }) => this.#named.get(`${kind} ${name}`) ?? []);
    if (facts.outcome === 'allow') this.#remember(analysis);
    return { ok: true, action: { text, analysis, contained, via }, needsHidden: () => false };
  }

  #remember(analysis: Analysis): void {
    for (const { defines, body } of analysis.ok ? analysis.statements : []) {
      if (defines === null || body === null) continue;
      const key = `${defines.kind} ${defines.name}`;
      const known = this.#named.get(key) ?? [];
      this.#named.set(key, [...known, { ok: true, statements: [body] }]);
    }
  }
}
