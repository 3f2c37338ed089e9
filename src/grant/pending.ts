import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { DaypassError } from '../errors.js';
import { isGrantId } from './handle.js';

const entrySchema = z.strictObject({
  id: z.string().refine(isGrantId),
  at: z.number(),
  by: z.string(),
  via: z.enum(['socket', 'browser', 'token', 'system']).optional(),
  reason: z.string(),
});

/** A revocation that the ledger has not taken yet. */
export type PendingRevocation = z.infer<typeof entrySchema>;

const FILE = 'pending-revocations';

/**
 * Revocations made while the ledger did not answer: kept on disk before they are acknowledged, and denied on this
 * gateway from the first moment. They leave only once the ledger has them.
 */
export class PendingRevocations {
  readonly #path: string;
  #entries: readonly PendingRevocation[];
  /** One writer at a time: each change waits for the one before. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, entries: readonly PendingRevocation[]) {
    this.#path = path;
    this.#entries = entries;
  }

  /**
   * Reads what an earlier run left.
   * @throws DaypassError `pending_revocations_corrupt`: a line that cannot be read may be a revocation, so nothing starts
   */
  static async open(dataDirectory: string): Promise<PendingRevocations> {
    const path = join(dataDirectory, FILE);
    await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
    const lines = (await readText(path)).split('\n');
    // Text after the last newline was cut short by a crash: its revocation was never acknowledged.
    const torn = lines.pop() !== '';
    const pending = new PendingRevocations(
      path,
      lines.map((line) => parseEntry(line, path)),
    );
    if (torn) await pending.#rewrite(pending.#entries);
    return pending;
  }

  get size(): number {
    return this.#entries.length;
  }

  has(id: string): boolean {
    return this.#entries.some((entry) => entry.id === id);
  }

  entries(): readonly PendingRevocation[] {
    return this.#entries;
  }

  /** Denies the grant at once; resolves when the revocation is on disk. Rejects with the file system's error, and still denies. */
  add(entry: PendingRevocation): Promise<void> {
    this.#entries = [...this.#entries, entry];
    return this.#next(() => this.#rewrite(this.#entries));
  }

  /** Forgets what the ledger has taken. */
  remove(entry: PendingRevocation): Promise<void> {
    return this.#next(async () => {
      const rest = this.#entries.filter((other) => other !== entry);
      await this.#rewrite(rest);
      this.#entries = this.#entries.filter((other) => other !== entry);
    });
  }

  #next(write: () => Promise<void>): Promise<void> {
    const written = this.#writing.then(write);
    this.#writing = written.catch(() => {});
    return written;
  }

  /** As a whole, never behind what is there: on a full disk a part of a line would stay, and spoil the next one. */
  async #rewrite(entries: readonly PendingRevocation[]): Promise<void> {
    const fresh = `${this.#path}.new`;
    await writeDurably(fresh, entries.map(line).join(''));
    await rename(fresh, this.#path);
    await syncDirectory(this.#path);
  }
}

function line(entry: PendingRevocation): string {
  return `${JSON.stringify(entry)}\n`;
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The file's name is in its directory: that must reach the disk too. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

function parseEntry(text: string, path: string): PendingRevocation {
  try {
    return entrySchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new DaypassError('pending_revocations_corrupt', `A line of ${path} cannot be read.`, {
      cause,
      hint: 'It may be a revocation. Repair or remove the line, and revoke that grant again.',
    });
  }
}
