/** Reading the parse tree, which is JSON of unknown shape: every step checks what it finds. */

/** The fields of a node. */
export type Fields = Readonly<Record<string, unknown>>;

/** A node of the tree: `{ SelectStmt: { … } }`. */
export interface Node {
  readonly tag: string;
  readonly fields: Fields;
}

/** Whether a value is an object with fields. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The node in a value, or null for an absent one (an empty object stands for a null in a list). */
export function nodeOf(value: unknown): Node | null {
  if (!isFields(value)) return null;
  const tags = Object.keys(value);
  const [tag] = tags;
  if (tag === undefined) return null;
  const fields = value[tag];
  return tags.length === 1 && isFields(fields) ? { tag, fields } : { tag: 'malformed', fields: {} };
}

/** A field that is a list; absent is empty. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A field that is a string; absent (the empty string in the tree) is null. */
export function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** The strings of a list of String nodes; null when it holds anything else. */
export function namesOf(value: unknown): readonly string[] | null {
  const names: string[] = [];
  for (const item of listOf(value)) {
    const node = nodeOf(item);
    const name = node?.tag === 'String' ? textOf(node.fields.sval) : null;
    if (name === null) return null;
    names.push(name);
  }
  return names;
}
