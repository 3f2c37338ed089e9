import type { ExecuteExpectation, Expectation, QueryExpectation } from './expectations.js';
import type { Keeper, Portal, Prepared } from './names.js';
import { weightOfAnalysis } from './sql/weight.js';

/** The memory for what a session keeps. */
export interface Room {
  /** @returns whether so many bytes more may be kept */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

// Bytes, roughly.
const NAME = 256;
const ENTRY = 64;
const ACTION = 256;
/** A place in a list: of one name thousands of statements may be meant, as long as the server has not said which. */
const PLACE = 8;

/** Roughly what is kept of a statement, bytes: its text, as much again for the names in it, and what was found there. */
export function weightOfStatement({ text, analysis }: Pick<Prepared, 'text' | 'analysis'>): number {
  return (analysis.ok ? 4 : 2) * text.length + weightOfAnalysis(analysis);
}

function weightOfParameters(parameters: Portal['parameters'] = []): number {
  let weight = 0;
  for (const parameter of parameters) weight += 32 + 2 * (parameter?.length ?? 0);
  return weight;
}

/** The same of a message that the server has not answered, besides what its names keep. */
export function weightOfExpectation(one: Expectation): number {
  switch (one.kind) {
    case 'query':
      return (
        ACTION + weightOfStatement(one.action) + weightOfParameters(one.action.parameters) + weightOfContained(one)
      );
    case 'execute':
      return ACTION + 2 * one.portal.length + weightOfContained(one);
    case 'parse':
    case 'close':
      return ENTRY + 2 * one.name.length;
    case 'bind':
      return ENTRY + 2 * (one.name.length + one.statement.length);
    case 'copyEnd':
      return ENTRY + one.copy.kept;
    case 'refused':
      return ACTION + 2 * one.refusal.decision.message.length;
    default:
      return 0; // one for all
  }
}

function weightOfContained({ action }: QueryExpectation | ExecuteExpectation): number {
  return PLACE * action.contained.length;
}

function weightOfPortal({ statements, parameters }: Portal): number {
  return NAME + PLACE * statements.length + weightOfParameters(parameters);
}

/**
 * What the names of one session keep. A statement counts once however many names and portals it stands behind: of thousands of Binds under
 * way each has parameters of its own, and all have one text. A portal keeps it though its name comes to mean something else.
 */
export class Kept {
  readonly #room: Room;
  readonly #holders = new Map<Prepared, number>();

  constructor(room: Room) {
    this.#room = room;
  }

  readonly statements: Keeper<Prepared> = {
    take: (statement) => this.#take(NAME, [statement]),
    give: (statement) => this.#give(NAME, [statement]),
  };

  readonly portals: Keeper<Portal> = {
    take: (portal) => this.#take(weightOfPortal(portal), portal.statements),
    give: (portal) => this.#give(weightOfPortal(portal), portal.statements),
  };

  #take(own: number, statements: readonly Prepared[]): boolean {
    let weight = own;
    for (const one of statements) {
      const holders = this.#holders.get(one) ?? 0;
      if (holders === 0) weight += weightOfStatement(one);
      this.#holders.set(one, holders + 1);
    }
    if (this.#room.take(weight)) return true;
    this.#letGo(statements);
    return false;
  }

  #give(own: number, statements: readonly Prepared[]): void {
    this.#room.give(own + this.#letGo(statements));
  }

  /** @returns how much of them nobody holds any more, bytes */
  #letGo(statements: readonly Prepared[]): number {
    let weight = 0;
    for (const one of statements) {
      const holders = (this.#holders.get(one) ?? 0) - 1;
      if (holders > 0) this.#holders.set(one, holders);
      else if (this.#holders.delete(one)) weight += weightOfStatement(one);
    }
    return weight;
  }
}
