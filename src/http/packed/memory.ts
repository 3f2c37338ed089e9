/** What is unpacked takes of the memory, bytes, and what of it each person has. */
const theirs = new Map<string, number>();
let all = 0;

/**
 * Whether there is so much for a person: what others have left, and no more than is free then. So one alone has half of it, of two each a
 * third, and whoever has many bodies on their way keeps nobody else's from being read.
 * @param most - what all may have, bytes
 */
export function hasMemory(person: string, more: number, most: number): boolean {
  return (theirs.get(person) ?? 0) + more <= most - all;
}

/** Counts a person's bytes in, or out. */
export function countMemory(person: string, bytes: number): void {
  all += bytes;
  const left = (theirs.get(person) ?? 0) + bytes;
  if (left > 0) theirs.set(person, left);
  else theirs.delete(person);
}
