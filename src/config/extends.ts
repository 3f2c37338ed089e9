import type { SourceDocument } from './document.js';
import { type Finding, judge } from './issues.js';
import { didYouMean } from './nearest.js';
import type { ProtocolConfig } from './protocol.js';
import { keyedMap, standInSchemas, type ValueSchemas } from './values.js';

/** The roles of one file, and what is wrong with them. */
export interface CompiledRoles {
  readonly findings: readonly Finding[];
  readonly compiled: ReadonlyMap<string, unknown>;
}

/** A role as its file states it: the name of the role it builds on, and its protocol's own block. */
interface RoleBlock {
  readonly base: string | undefined;
  readonly findings: readonly Finding[];
  /** A stand-in when there are findings; undefined when even that cannot be made. */
  readonly usable: { readonly value: unknown } | undefined;
}

/**
 * Compiles every role from its chain of blocks, the base first.
 * @param upstream - what roles are compiled against; undefined when there is none, and then they are only parsed
 */
export function compileRoles(
  document: SourceDocument,
  raw: unknown,
  protocol: ProtocolConfig,
  values: ValueSchemas,
  upstream: { readonly value: unknown } | undefined,
): CompiledRoles {
  const blocks = readBlocks(document, raw, protocol, values);
  const findings = [...blocks.values()].flatMap((block) => block.findings);
  const compiled = new Map<string, unknown>();
  for (const name of blocks.keys()) {
    const chain = chainOf(name, blocks);
    if (!chain.ok) {
      findings.push(...chain.findings);
      continue;
    }
    const parsed = chain.blocks.flatMap(({ usable }) => (usable === undefined ? [] : [usable.value]));
    if (upstream === undefined || parsed.length < chain.blocks.length) continue;
    const role = protocol.compileRole(name, parsed, upstream.value);
    if (role.ok) compiled.set(name, role.value);
    else
      findings.push(
        ...role.problems.map((it) => ({ ...it, path: ['roles', name, ...it.path], part: 'value' as const })),
      );
  }
  return { findings, compiled };
}

function readBlocks(
  document: SourceDocument,
  raw: unknown,
  protocol: ProtocolConfig,
  values: ValueSchemas,
): Map<string, RoleBlock> {
  const blocks = new Map<string, RoleBlock>();
  for (const [name, block] of Object.entries(keyedMap.safeParse(raw).data ?? {})) {
    const map = keyedMap.safeParse(block);
    // A role that is no map is the frame's finding.
    if (!map.success) {
      blocks.set(name, { base: undefined, findings: [], usable: undefined });
      continue;
    }
    const { extends: base, ...value } = map.data;
    const part = { document, path: ['roles', name], value, alsoKnown: ['extends'] };
    const read = judge(protocol.role(values), part);
    const standIn = read.ok ? read : judge(protocol.role(standInSchemas()), part);
    blocks.set(name, {
      base: typeof base === 'string' ? base : undefined,
      findings: read.ok ? [] : read.findings,
      usable: standIn.ok ? standIn : undefined,
    });
  }
  return blocks;
}

type Chain =
  | { readonly ok: true; readonly blocks: readonly RoleBlock[] }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** The blocks a role consists of, its base first. */
function chainOf(name: string, blocks: ReadonlyMap<string, RoleBlock>): Chain {
  const chain: RoleBlock[] = [];
  const seen: string[] = [];
  for (let next: string | undefined = name; next !== undefined; ) {
    const block = blocks.get(next);
    const from = seen.at(-1) ?? name;
    if (block === undefined) return fault(from, `unknown role "${next}"`, didYouMean(next, [...blocks.keys()]));
    if (seen.includes(next)) {
      // A role that merely leads into a circle is not part of it: those that are say so themselves.
      if (next !== name) return { ok: false, findings: [] };
      return fault(name, `the role extends itself: ${[...seen, next].join(' → ')}`, 'a chain of roles must end');
    }
    seen.push(next);
    chain.unshift(block);
    next = block.base;
  }
  return { ok: true, blocks: chain };
}

function fault(role: string, message: string, hint: string | undefined): Chain {
  const finding = { path: ['roles', role, 'extends'], part: 'value' as const, message };
  return { ok: false, findings: [hint === undefined ? finding : { ...finding, hint }] };
}
