import { z } from 'zod';
import { parseSize, SIZE } from '../../config/size.js';
import { hinted } from '../../config/values.js';

/** What a role says besides what it allows. */
export interface RoleSettings {
  /** The largest WebSocket message a client may send, bytes. */
  readonly maxMessage: number;
  /** What a WebSocket's client is told in-band before its end; null: nothing. */
  readonly warnings: string | null;
  /** How much of request and response bodies is recorded, bytes; null: the beginning of requests alone. */
  readonly bodies: number | null;
  /** What the service has before all paths that rules name. */
  readonly basePath: string;
}

const MiB = 1024 * 1024;

export const DEFAULT_SETTINGS: RoleSettings = Object.freeze({
  maxMessage: 16 * MiB,
  warnings: null,
  bodies: null,
  basePath: '',
});

/** What a client sends is held whole before it is forwarded: a message takes so much of the gateway's memory. */
const MOST_MESSAGE = 64 * MiB;
/** What is recorded of one body has to fit into one event. */
const MOST_BODY = MiB;

/** A size, as it stands in the file: roles are compiled from what was parsed already. */
function sizeUpTo(most: number, words: string) {
  const problem = hinted('not a size', 'a whole number and a unit: 500KiB, 10MiB');
  return z
    .string(problem)
    .regex(SIZE, problem)
    .refine((text) => (parseSize(text) ?? 0) <= most, hinted('too large', `at most ${words}`));
}

/** The keys of a role besides `allow`. */
export const settingsShape = {
  websocket: z
    .strictObject({ max_message: sizeUpTo(MOST_MESSAGE, '64MiB'), warnings: z.string().min(1).max(1_000) })
    .partial()
    .optional(),
  recording: z
    .strictObject({ bodies: sizeUpTo(MOST_BODY, '1MiB') })
    .partial()
    .optional(),
};

interface Written {
  readonly websocket?:
    | { readonly max_message?: string | undefined; readonly warnings?: string | undefined }
    | undefined;
  readonly recording?: { readonly bodies?: string | undefined } | undefined;
}

/** The settings of a chain of role blocks, the base first: of each the last block that names it counts. */
export function settingsFrom(blocks: readonly Written[], basePath: string): RoleSettings {
  const last = (of: (block: Written) => string | undefined) =>
    blocks.map(of).findLast((value) => value !== undefined) ?? null;
  const sizeOf = (text: string | null) => (text === null ? undefined : parseSize(text));
  return Object.freeze({
    maxMessage: sizeOf(last((block) => block.websocket?.max_message)) ?? DEFAULT_SETTINGS.maxMessage,
    warnings: last((block) => block.websocket?.warnings),
    bodies: sizeOf(last((block) => block.recording?.bodies)) ?? null,
    basePath,
  });
}
