/**
 * The values that policy files are made of.
 *
 * What depends on the machine (`{ env: … }`, `{ file: … }`) is resolved while the file is parsed, so the schemas come
 * from a factory that is told where to look. A protocol therefore gives its `upstream` and `role` as functions:
 *
 *     upstream: ({ secret, address }) => z.strictObject({ address, user: z.string(), password: secret }),
 *     role: () => z.strictObject({ allow: z.array(…) }),
 *
 * What does not (`durationSchema`, `nameSchema`) is a plain export. The published JSON Schema describes what stands
 * in the file, not what it resolves to. A message may carry a hint: see `hinted`.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { messageOf } from '../errors.js';
import { type Address, parseAddress, parseWebAddress, type WebAddress } from './address.js';
import { DURATION, parseDuration } from './duration.js';
import { SecretNames } from './secret.js';

/** Where values that are not in the file come from. */
export interface Sources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The configuration directory: `{ file: … }` is relative to it. */
  readonly directory: string;
}

/** A problem's text and what to do about it: the first line of a zod message is the message, the rest is its hint. */
export function hinted(message: string, hint: string): string {
  return `${message}\n${hint}`;
}

/** `orders-db`: a service, a role. */
export const nameSchema = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, hinted('not a name', 'a lower-case letter, then up to 62 of a-z, 0-9 and -'));

/** A map with anything in it. */
export const keyedMap = z.record(z.string(), z.unknown());

const DURATION_PROBLEM = hinted('not a duration', 'a whole number and a unit: 90s, 10m, 4h, 7d (ten years at most)');

/** `4h` → seconds; never zero. */
export const durationSchema = z
  .string(DURATION_PROBLEM)
  .regex(DURATION, DURATION_PROBLEM)
  .transform((text, context) => parseDuration(text) ?? refuse(context, DURATION_PROBLEM));

/** As `durationSchema`, and `0` (or `0s`) for none. */
export const durationOrZeroSchema = z
  .union([z.literal(0), z.string().regex(/^(?:0[smhd]?|[1-9]\d*[smhd])$/, DURATION_PROBLEM)], DURATION_PROBLEM)
  .transform((value, context) => {
    if (value === 0 || value.startsWith('0')) return 0;
    return parseDuration(value) ?? refuse(context, DURATION_PROBLEM);
  });

const envName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'not the name of an environment variable');

/** `{ env: NAME }` or `{ file: path }`, not read yet. */
export const secretReferenceSchema = z.union(
  [z.strictObject({ env: envName }), z.strictObject({ file: z.string().min(1) })],
  hinted('a secret is named here, never written', 'write { env: NAME } or { file: path }'),
);
export type SecretReference = z.output<typeof secretReferenceSchema>;

/** The schemas that look at the machine; what `ProtocolConfig.upstream` and `.role` are handed. */
export interface ValueSchemas {
  /** `{ env: NAME }` or `{ file: path }` → the secret. A file's last line break is not part of it. */
  readonly secret: z.ZodType<string>;
  /** What `secret` has read so far, and how the file words it. */
  readonly names: SecretNames;
  /** `127.0.0.1:5432`, `[::1]:5432`, `localhost:5432`, or `{ env: NAME, default: … }`; never port 0. */
  readonly address: z.ZodType<Address>;
  /** As `address`; port 0 asks the system for a free one. */
  readonly listenAddress: z.ZodType<Address>;
  /** `http://…` or `https://…`, or `{ env: NAME, default: … }`; no credentials, query or fragment. */
  readonly url: z.ZodType<WebAddress>;
}

const PROBLEMS = {
  listenAddress: hinted('not an address', '127.0.0.1:8080, [::1]:8080 or name:8080'),
  address: hinted('not an address to connect to', '127.0.0.1:5432, [::1]:5432 or name:5432'),
  url: hinted('not a web address', 'http:// or https:// with a host; no user, password, query or fragment'),
};

/** Makes the schemas for one file. */
export function valueSchemas(sources: Sources): ValueSchemas {
  const names = new SecretNames();
  return {
    names,
    secret: secretReferenceSchema.transform((reference, context) => {
      const read = readSecret(reference, sources);
      if (!read.ok) return refuse(context, read.problem);
      names.add(read.value, reference);
      return read.value;
    }),
    listenAddress: textOrEnv(sources, parseAddress, PROBLEMS.listenAddress),
    address: textOrEnv(sources, parseDialable, PROBLEMS.address),
    url: textOrEnv(sources, parseWebAddress, PROBLEMS.url),
  };
}

/**
 * The same schemas without a machine: every reference becomes a stand-in. For the published JSON Schema, and for
 * finding what else is wrong in a file whose secrets cannot be read. What they make is never served.
 */
export function standInSchemas(): ValueSchemas {
  const address = { host: 'localhost', port: 1 };
  const url = { href: 'http://localhost:1', origin: 'http://localhost:1', basePath: '' };
  return {
    names: new SecretNames(),
    secret: secretReferenceSchema.transform(() => 'stand-in'),
    listenAddress: textOrEnvForm(PROBLEMS.listenAddress).transform(() => address),
    address: textOrEnvForm(PROBLEMS.address).transform(() => address),
    url: textOrEnvForm(PROBLEMS.url).transform(() => url),
  };
}

/** A secret that was read, or why it could not be. */
export type ReadSecret =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly problem: string };

/** Reads a secret once. An unset or empty one is a problem: an empty password is never meant. */
export function readSecret(reference: SecretReference, { env, directory }: Sources): ReadSecret {
  if ('env' in reference) {
    const value = env[reference.env];
    if (value) return { ok: true, value };
    return {
      ok: false,
      problem: hinted(`environment variable ${reference.env} is not set`, `export ${reference.env}=…`),
    };
  }
  try {
    const value = readFileSync(resolve(directory, reference.file), 'utf8').replace(/\r?\n$/, '');
    return value ? { ok: true, value } : { ok: false, problem: `secret file ${reference.file} is empty` };
  } catch (error) {
    return { ok: false, problem: `secret file ${reference.file} cannot be read: ${messageOf(error)}` };
  }
}

function parseDialable(text: string): Address | undefined {
  const address = parseAddress(text);
  return address?.port === 0 ? undefined : address;
}

function textOrEnvForm(problem: string) {
  return z.union([z.string(), z.strictObject({ env: envName, default: z.string().optional() })], problem);
}

function textOrEnv<T>({ env }: Sources, parse: (text: string) => T | undefined, problem: string): z.ZodType<T> {
  return textOrEnvForm(problem).transform((value, context) => {
    if (typeof value === 'string') return parse(value) ?? refuse(context, problem);
    // An empty variable counts as unset, as in a shell's ${NAME:-default}.
    const text = env[value.env] || value.default;
    if (text === undefined) {
      return refuse(context, hinted(`environment variable ${value.env} is not set`, 'set it, or give a default'));
    }
    // The variable's value is not repeated: it may hold credentials.
    return parse(text) ?? refuse(context, `${value.env}: ${problem}`);
  });
}

/** For `superRefine`: what a check finds is the problem. */
export function faultless<T>(faultOf: (value: T) => string | null): (value: T, context: z.core.$RefinementCtx) => void {
  return (value, context) => {
    const message = faultOf(value);
    if (message !== null) context.addIssue({ code: 'custom', message });
  };
}

/** Inside a zod transform: a problem instead of a value. */
export function refuse(context: z.core.$RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
}
