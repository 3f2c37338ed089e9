import { createHash } from 'node:crypto';
import { z } from 'zod';
import { accessFindings, accessSchema, toAccessPolicy } from './access.js';
import type { SourceDocument } from './document.js';
import { compileRoles } from './extends.js';
import { type Finding, type Judged, judge } from './issues.js';
import { didYouMean } from './nearest.js';
import { GROUP } from './people.js';
import type { ProtocolConfig, ServicePolicy } from './protocol.js';
import { scopeOf } from './scope.js';
import { durationSchema, hinted, keyedMap, nameSchema, standInSchemas, type ValueSchemas } from './values.js';

/** The part of a service file that every protocol shares. */
export const serviceFrameSchema = z.strictObject({
  service: nameSchema,
  protocol: z.string(),
  lane: z.enum(['code', 'data', 'production']),
  owner: z.string().regex(GROUP, hinted('not an owner', 'group:<name>, for example group:payments-leads')),
  upstream: keyedMap,
  roles: z
    .record(nameSchema, z.looseObject({ extends: nameSchema.optional() }))
    .refine((roles) => Object.keys(roles).length > 0, hinted('no role', 'the first role is the read-only default')),
  grants: z
    .strictObject({
      max_duration: durationSchema,
      max_renewals: z.int().min(0).max(100),
      max_total: durationSchema.optional(),
    })
    .refine(({ max_duration, max_total = max_duration }) => max_total >= max_duration, {
      error: hinted('max_total is shorter than max_duration', 'it is what a grant may last with all its renewals'),
      path: ['max_total'],
    }),
  access: accessSchema.optional(),
  recording: z.strictObject({ mode: z.enum(['strict', 'buffered']) }).default({ mode: 'strict' }),
});

/** One service file, read. */
export interface ServiceFile {
  /** The file's name without `.yaml`: the service must be called so. */
  readonly stem: string;
  readonly text: string;
  readonly document: SourceDocument;
}

/** Reads one service file with its protocol's help: the policy, or everything that is wrong with it. */
export function readService(
  file: ServiceFile,
  protocols: readonly ProtocolConfig[],
  values: ValueSchemas,
): Judged<ServicePolicy> {
  const { document, stem } = file;
  const frame = judge(serviceFrameSchema, { document, path: [], value: document.value });
  const raw = keyedMap.safeParse(document.value).data ?? {};
  const protocol = protocols.find(({ name }) => name === raw.protocol);
  const findings = [...(frame.ok ? [] : frame.findings), ...misnamed(raw.service, stem)];
  if (protocol === undefined)
    return { ok: false, findings: [...findings, ...unknownProtocol(raw.protocol, protocols)] };
  const upstream = readUpstream(document, raw.upstream, protocol, values);
  const roles = compileRoles(document, raw.roles, protocol, values, upstream.usable);
  findings.push(...upstream.findings, ...roles.findings);
  if (frame.ok) findings.push(...accessFindings(frame.value.access, raw.roles, frame.value.grants.max_duration));
  if (!frame.ok || findings.length > 0 || roles.compiled.size === 0) return { ok: false, findings };
  const scope = scopeOf(protocol, roles.compiled);
  const reached = upstream.usable?.value;
  const secrets = values.names.sought(protocol.injected(reached, roles.compiled.values()));
  const certificate = protocol.certificate?.(reached) ?? null;
  const compiled = { upstream: reached, roles: roles.compiled, ...scope, secrets, certificate };
  const policy = toPolicy(frame.value, file.text, compiled);
  const { access } = frame.value;
  return { ok: true, value: access === undefined ? policy : { ...policy, access: toAccessPolicy(access, raw.roles) } };
}

function toPolicy(
  frame: z.output<typeof serviceFrameSchema>,
  text: string,
  compiled: Pick<ServicePolicy, 'upstream' | 'roles' | 'rulesOf' | 'roleFor' | 'looser' | 'secrets' | 'certificate'>,
): ServicePolicy {
  const { service: name, protocol, lane, owner, grants, recording } = frame;
  const [defaultRole = ''] = compiled.roles.keys();
  const { max_duration: maxDurationSeconds, max_renewals: maxRenewals, max_total: maxTotalSeconds } = grants;
  const limits = { maxDurationSeconds, maxRenewals, ...(maxTotalSeconds === undefined ? {} : { maxTotalSeconds }) };
  const version = createHash('sha256').update(text).digest('hex');
  const rest = { grants: limits, recording, version, text };
  return { name, protocol, lane, owner, ...compiled, defaultRole, ...rest };
}

interface ReadUpstream {
  readonly findings: readonly Finding[];
  /** What roles can be compiled against; a stand-in when there are findings. */
  readonly usable: { readonly value: unknown } | undefined;
}

/** Reads `upstream:`; when only the machine lacks something, a stand-in lets the roles be looked at all the same. */
function readUpstream(
  document: SourceDocument,
  raw: unknown,
  protocol: ProtocolConfig,
  values: ValueSchemas,
): ReadUpstream {
  // That it is missing or no map at all is the frame's finding.
  if (!keyedMap.safeParse(raw).success) return { findings: [], usable: undefined };
  const part = { document, path: ['upstream'], value: raw };
  const read = judge(protocol.upstream(values), part);
  if (read.ok) return { findings: [], usable: read };
  const standIn = judge(protocol.upstream(standInSchemas()), part);
  return { findings: read.findings, usable: standIn.ok ? standIn : undefined };
}

function misnamed(service: unknown, stem: string): Finding[] {
  if (typeof service !== 'string' || service === stem) return [];
  const message = `service "${service}" stands in ${stem}.yaml`;
  return [{ path: ['service'], part: 'value', message, hint: `rename the file to ${service}.yaml` }];
}

function unknownProtocol(name: unknown, protocols: readonly ProtocolConfig[]): Finding[] {
  if (typeof name !== 'string') return [];
  const known = protocols.map((protocol) => protocol.name);
  const hint = didYouMean(name, known) ?? 'this build has no protocols';
  return [{ path: ['protocol'], part: 'value', message: `unknown protocol "${name}"`, hint }];
}
