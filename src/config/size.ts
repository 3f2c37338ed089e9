/** How a size is written: a whole number without leading zero, and a unit. */
export const SIZE = /^[1-9]\d{0,8}(?:B|KiB|MiB|GiB)$/;

const BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/**
 * Reads `500KiB`, `10MiB`, `2GiB`.
 * @returns bytes, or undefined when the text is no size
 */
export function parseSize(text: string): number | undefined {
  const unit = SIZE.test(text) ? BYTES[text.replace(/^\d+/, '')] : undefined;
  return unit === undefined ? undefined : Number.parseInt(text, 10) * unit;
}
