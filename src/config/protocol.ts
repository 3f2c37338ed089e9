import type { z } from 'zod';
import type { AccessPolicy } from './access.js';
import type { Injected, SoughtSecret } from './secret.js';
import type { ValueSchemas } from './values.js';

/** Something wrong in a policy file: the path of keys to it and what to do. */
export interface Problem {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint?: string;
}

/** Either the compiled thing or every problem found in it. */
export type Compiled<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * The part of a service file that only its protocol understands. Central code reads the file's frame
 * (service, protocol, lane, owner, grants, recording, `extends`) and hands the rest here.
 */
export interface ProtocolConfig<Upstream = unknown, Role = unknown> {
  readonly name: string;
  /** The schema of the `upstream:` block; strict, secrets resolved to strings by `values.secret`. */
  upstream(values: ValueSchemas): z.ZodType<Upstream>;
  /** The schema of one entry of `roles:` without `extends`; strict. */
  role(values: ValueSchemas): z.ZodType;
  /**
   * Compiles a role from its chain of parsed role blocks, the base first (`extends` appends rules).
   * @returns the frozen role, or every problem with paths relative to the last block of the chain
   */
  compileRole(name: string, chain: readonly unknown[], upstream: Upstream): Compiled<Role>;
  /** The texts of a role's rules, as decisions name them. */
  rulesOf(role: Role): readonly string[];
  /**
   * The role with those of its rules alone whose texts are given, and all that follows from them. Pure. It allows nothing that
   * the role does not allow; without a rule it allows nothing at all.
   */
  narrow(role: Role, texts: ReadonlySet<string>): Role;
  /**
   * What of a role, besides its rules, gives more than another role does: larger limits, less that is recorded. Pure.
   * @returns in the words of the policy file, one for each key; none when nothing does
   */
  looser(role: Role, than: Role): readonly string[];
  /** Every secret that is injected towards the service, in whatever role: what its answers are searched for. */
  injected(upstream: Upstream, roles: Iterable<Role>): readonly Injected[];
  /** The certificate that the service is shown, PEM; null where it is shown none. No service is unless this is given. */
  certificate?(upstream: Upstream): string | null;
}

/** A service as the gateway serves it: compiled, frozen, replaced whole when its file changes. */
export interface ServicePolicy<Upstream = unknown, Role = unknown> {
  readonly name: string;
  readonly protocol: string;
  readonly lane: 'code' | 'data' | 'production';
  /** `group:<name>`. */
  readonly owner: string;
  readonly upstream: Upstream;
  readonly roles: ReadonlyMap<string, Role>;
  /** The first role of the file: the read-only one. */
  readonly defaultRole: string;
  /** The texts of a role's rules, as decisions name them; none for a role that is not there. */
  rulesOf(role: string): readonly string[];
  /**
   * A role as a grant has it: whole, or (`only`) what is left of it with the rules of these texts alone. A text that no rule
   * has allows nothing.
   */
  roleFor(role: string, only: readonly string[] | null): Role | undefined;
  /** What of a role, besides its rules, gives more than another does, in the words of the file; everything for one that is not there. */
  looser(role: string, than: string): readonly string[];
  readonly grants: {
    /** At a time: at first, and with each renewal. */
    readonly maxDurationSeconds: number;
    readonly maxRenewals: number;
    /** Of a grant's first duration and all its renewals; no limit of its own when not given. */
    readonly maxTotalSeconds?: number;
  };
  /** How people ask for access; without it nobody can, and operators issue grants. */
  readonly access?: AccessPolicy;
  readonly recording: { readonly mode: 'strict' | 'buffered' };
  /** What is injected towards the service: seen in its answers, it is to be replaced. */
  readonly secrets: readonly SoughtSecret[];
  /** The certificate that the service is shown, PEM; null where it is shown none. */
  readonly certificate: string | null;
  /** SHA-256 (hex) of the file's text: what the records name. Secrets are references there, never values. */
  readonly version: string;
  /** The file's text as loaded, kept in the ledger so that a record can be decided again. */
  readonly text: string;
}
