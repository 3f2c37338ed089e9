import type { Header } from '../action.js';
import { valuesOf } from '../headers/headers.js';
import { codingAsked } from '../packed/coding.js';
import { PackedReading, PlainReading, type Reading, readersOf } from './form-readings.js';
import { METHODS } from './override.js';

/** More than there are. */
const MOST_ASKED = 2 * METHODS.length;
/** What somebody may ask for of whom we do not know what they ask for. */
const ANY = ['PUT', 'PATCH', 'DELETE'];

/**
 * The methods that the body of a request asks for in place of its own: Rails and Sinatra (Rack), Symfony and Laravel, ASP.NET, gorilla
 * and others take it from a field `_method` of the form of a POST, Laravel and Slim from a member of JSON, too; CakePHP from a form of
 * PUT, PATCH and DELETE, ThinkPHP of whatever there is.
 */
export class FormMethods {
  readonly #own: string;
  readonly #readings: readonly Reading[];
  readonly #told = new Set<string>();
  /** It is known what the body asks for. */
  isCertain = true;

  private constructor(own: string, readings: readonly Reading[]) {
    this.#own = own;
    this.#readings = readings;
  }

  /**
   * @param person - whose request it is
   * @returns null for a request in whose body nobody looks for a method
   */
  static of(person: string, method: string, headers: readonly Header[]): FormMethods | null {
    const types = valuesOf(headers, 'content-type');
    if (types.length === 0 && method !== 'POST') return null;
    const plain = readersOf(types);
    if (plain.length === 0) return null;
    const coding = codingAsked(headers);
    // Whoever does not unpack what is said to be packed reads it as it is.
    const packed = coding === null ? [] : [new PackedReading(coding, person, readersOf(types))];
    return new FormMethods(method, [new PlainReading(plain), ...packed]);
  }

  /** What came last may be the beginning of what it asks for: whoever has it and no more may carry it out as it is (PHP in Apache). */
  get isOpen(): boolean {
    return this.#readings.some(({ isOpen }) => isOpen);
  }

  /**
   * Looks at the next bytes, before they go on; they must last until then. To be called again only when they were looked at.
   * @param told - is given the methods that are asked for, each once; not after `close`
   */
  push(bytes: Buffer, isLast: boolean, told: (methods: readonly string[]) => void): void {
    const asked = new Set<string>();
    const say = (word: string) => this.#add(word, asked);
    let left = this.#readings.length;
    for (const reading of this.#readings) {
      reading.push(bytes, isLast, say, () => {
        left -= 1;
        if (left === 0) told(this.#fresh([...asked]));
      });
    }
  }

  /** The body is over. */
  close(): void {
    for (const reading of this.#readings) reading.close();
  }

  /**
   * What is no method that we know may be one to a service (`LINK`), and one in a spelling of its own (base64). Of a body of which much
   * comes at once there may be a million words: of so many at least one is none of ours, and is allowed to nobody.
   */
  #add(word: string, asked: Set<string>): void {
    if (asked.size > MOST_ASKED) return;
    const method = word.trim().toUpperCase();
    const isKnown = METHODS.includes(method);
    if (!isKnown) for (const any of ANY) asked.add(any);
    if (isKnown || /^[A-Z-]{1,32}$/.test(method)) asked.add(method);
    this.isCertain &&= isKnown;
  }

  #fresh(asked: readonly string[]): readonly string[] {
    const fresh = asked.filter((method) => method !== this.#own && !this.#told.has(method));
    for (const method of fresh) this.#told.add(method);
    return fresh;
  }
}
