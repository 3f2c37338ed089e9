/** What messages are written with, towards either side. */

/** A message of one type byte and a body. */
export function frame(type: string, body: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(5 + body.length);
  out.write(type, 0, 'latin1');
  out.writeInt32BE(body.length + 4, 1);
  out.set(body, 5);
  return out;
}

/** A number of 32 bits. */
export function int32(value: number): Buffer {
  const out = Buffer.allocUnsafe(4);
  out.writeInt32BE(value, 0);
  return out;
}

/** Texts, each with its NUL. */
export function cstrings(...texts: readonly string[]): Buffer {
  return Buffer.from(texts.map((text) => `${text}\0`).join(''));
}
