import { readHeaderLine } from '../headers/header-line.js';
import { MalformedMessage } from '../malformed.js';

/** Bytes of chunk extensions, and of trailers, in one message: more are refused. Nothing is done with either. */
const MOST_ASIDE = 16 * 1024;
/** The same for both: who frames a body so is not answered in finer words. */
const TOO_LARGE = 413;
/** Hexadecimal digits of a chunk's size: twelve are 256 TiB. */
const MOST_DIGITS = 12;

/** RFC 9112 section 7.1.1: names, and values that are a token or quoted (RFC 9110 section 5.6.4). Without the blanks that were never any good. */
const EXTENSION =
  /^(?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*$/;
/** What would have told where the body ends, or what becomes of the connection behind it (RFC 9110 section 6.5.1): some parsers heed it there. */
const FRAMING = /^(?:content-length|transfer-encoding|connection|proxy-connection|upgrade)$/i;

const [CR, LF, SEMICOLON] = [0x0d, 0x0a, 0x3b];

type Place = 'size' | 'extension' | 'size LF' | 'data' | 'data CR' | 'data LF' | 'trailer' | 'trailer LF' | 'over';

/** Reads a chunked body (RFC 9112 section 7.1), and takes it out of its chunks in the very bytes that were received. */
export class ChunkReader {
  #place: Place = 'size';
  #size = 0;
  #digits = 0;
  #aside = 0;
  #line = '';
  /** Where the data of the last `read` ends, in its bytes; it begins where that was told to. */
  dataEnd = 0;
  /** Where the last `read` stopped: behind all of the bytes, or behind the end of the body. */
  next = 0;

  /** Before each body. */
  reset(): void {
    this.#place = 'size';
    this.#size = 0;
    this.#digits = 0;
    this.#aside = 0;
    this.#line = '';
  }

  /** The last chunk and the trailers have been read. */
  get isOver(): boolean {
    return this.#place === 'over';
  }

  /**
   * Reads on. The data in it is moved together: from `at` to `dataEnd`.
   * @throws MalformedMessage
   */
  read(bytes: Buffer, at: number): void {
    this.dataEnd = at;
    this.next = at;
    while (this.next < bytes.length && this.#place !== 'over') {
      if (this.#place === 'data') this.#takeData(bytes);
      else {
        this.#take(bytes[this.next] ?? 0);
        this.next += 1;
      }
    }
  }

  #takeData(bytes: Buffer): void {
    const end = Math.min(this.next + this.#size, bytes.length);
    if (this.next !== this.dataEnd) bytes.copyWithin(this.dataEnd, this.next, end);
    this.dataEnd += end - this.next;
    this.#size -= end - this.next;
    this.next = end;
    if (this.#size === 0) this.#place = 'data CR';
  }

  #take(byte: number): void {
    switch (this.#place) {
      case 'size':
        return this.#takeSize(byte);
      case 'extension':
        if (byte === CR) this.#endExtension();
        else this.#line += this.#takeAside(byte);
        return;
      case 'size LF':
        this.#expect(byte, LF);
        this.#place = this.#size === 0 ? 'trailer' : 'data';
        return;
      case 'data CR':
        this.#expect(byte, CR);
        this.#place = 'data LF';
        return;
      case 'data LF':
        this.#expect(byte, LF);
        this.#place = 'size';
        this.#digits = 0;
        return;
      case 'trailer':
        if (byte === CR) this.#place = 'trailer LF';
        else this.#line += this.#takeAside(byte);
        return;
      default:
        this.#expect(byte, LF);
        this.#endLine();
    }
  }

  #takeSize(byte: number): void {
    const digit = digitOf(byte);
    if (digit !== -1) {
      if (this.#digits === MOST_DIGITS) throw new MalformedMessage('a chunk beyond measure');
      this.#size = this.#size * 16 + digit;
      this.#digits += 1;
    } else if (this.#digits > 0 && byte === CR) this.#place = 'size LF';
    else if (this.#digits > 0 && byte === SEMICOLON) {
      this.#line = ';';
      this.#place = 'extension';
    } else throw new MalformedMessage('a chunk without a size');
  }

  /** Text beside the body, which is bounded and has no control characters. */
  #takeAside(byte: number): string {
    this.#aside += 1;
    if (this.#aside > MOST_ASIDE) throw new MalformedMessage('too much beside the chunks', TOO_LARGE);
    if ((byte < 0x20 && byte !== 0x09) || byte === 0x7f)
      throw new MalformedMessage('a control character between chunks');
    return String.fromCharCode(byte);
  }

  #endExtension(): void {
    const extension = this.#line;
    this.#line = '';
    this.#place = 'size LF';
    if (!EXTENSION.test(extension)) throw new MalformedMessage('a chunk extension that is none');
  }

  #endLine(): void {
    const line = this.#line;
    this.#line = '';
    this.#place = line === '' ? 'over' : 'trailer';
    if (line === '') return;
    const [name] = readHeaderLine(line);
    if (FRAMING.test(name)) throw new MalformedMessage('a trailer that frames the message');
  }

  #expect(byte: number, expected: number): void {
    if (byte !== expected) throw new MalformedMessage('a chunk that does not end where it says');
  }
}

function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
