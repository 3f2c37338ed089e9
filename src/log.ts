import { type Logger, pino } from 'pino';

export type Log = Logger;

/** What stands in a log or a record where something was cut out. */
export const REDACTED = '[redacted]';

/**
 * A handle anywhere in a text: the secret half is never written to a log or a recording (THREATS.md A16, D27). Also one that a
 * bound cut off: 42 of 43 characters are as good as all.
 */
const HANDLE = /dp_([0-9A-Za-z]{22})_[0-9A-Za-z]+/g;
/** The same in hexadecimal, as values that are no text are recorded. */
const HEX_HANDLE = /64705f(?<id>(?:[3-7][0-9a-f]){22})5f(?:[3-7][0-9a-f])+/g;

/** A tool's token: of it nothing stays. */
const TOKEN = /dpt_[0-9A-Za-z_-]{10,}/g;

/** Replaces the secret half of every handle in a text; the grant id stays, since reviewers search by it. Tokens go altogether. */
export function withoutHandles(told: string): string {
  const text = told.includes('_') ? withoutPlainHandles(told) : told; // one character is found faster than a word
  return text.includes('64705f') ? text.replace(HEX_HANDLE, `64705f$<id>5f${REDACTED}`) : text;
}

function withoutPlainHandles(told: string): string {
  const text = told.includes('dpt_') ? told.replace(TOKEN, `dpt_${REDACTED}`) : told;
  return text.includes('dp_') ? text.replace(HANDLE, `dp_$1_${REDACTED}`) : text;
}

/** Characters that steer a terminal or turn text around, and that JSON leaves as they are: C1, DEL, zero-width, bidi. */
const STEERING = /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Writes such characters in a JSON text as JSON's own escapes: the same value, and harmless in a terminal (THREATS.md D25). */
export function harmlessJson(json: string): string {
  return json.replace(STEERING, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** How much of the log waits for a reader that does not read, bytes: strangers can make it say much. */
const MOST_WAITING = 16 * 1024 * 1024;
let dropped = 0;
let isHeard = false;

/**
 * Whoever reads the log may stop, or leave, and its disk may be full: none of it is worth the gateway. Lines are dropped then, and
 * how many they were is said once there is room.
 */
function toStandardError(line: string): void {
  const { stderr } = process;
  // A write that fails would end the process, unless somebody listens.
  if (!isHeard) stderr.on('error', () => {});
  isHeard = true;
  if (stderr.writableLength > MOST_WAITING) {
    dropped += 1;
    return;
  }
  if (dropped > 0) {
    const told = {
      level: 40,
      time: new Date().toISOString(),
      lines: dropped,
      msg: 'nobody read the log: lines were dropped',
    };
    stderr.write(`${JSON.stringify(told)}\n`);
    dropped = 0;
  }
  stderr.write(line);
}

/**
 * The process's log: JSON lines on standard error, so that standard output stays the CLI's.
 * Handles are cut out of the finished line, whatever field they came in.
 */
export function createLog(
  level: string = process.env.DAYPASS_LOG ?? 'info',
  write: (line: string) => void = toStandardError,
): Log {
  const destination = { write: (line: string) => write(harmlessJson(withoutHandles(line))) };
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}
