/**
 * The key under which an analysis may be kept for every text that differs only in whole numbers.
 *
 * Sound because of what is kept under it and of what is replaced:
 * - the text is printable ASCII (and white space) without quotes, dollar signs, backslashes or comment starts. So it holds
 *   no strings, quoted names, parameters or comments, and each run of digits is part of a bare word or of a number;
 * - only a run with neither a word character nor a dot on either side is replaced: a whole decimal literal. `t1`, `1e5`,
 *   `0x1f`, `1_000`, `1.5`, `.5`, `1..2` and `1abc` (junk) are left alone, so the key differs wherever they do;
 * - `0` in its place starts no comment, joins no word and is a number itself: the texts split into the same tokens;
 * - the grammar gives a number's value no influence on which relations, functions or kinds of statement there are. (A value out of
 *   range, such as `float(99)`, can only turn a statement into an error of PostgreSQL's.) What does depend on values,
 *   SET and the options of EXPLAIN or COPY, is never kept under this key: see `analyse`.
 * @returns null when the text is not of this kind
 */
export function numberBlindKey(text: string): string | null {
  if (!PLAIN.test(text) || COMMENT.test(text)) return null;
  return text.replace(WHOLE_NUMBER, '0');
}

const PLAIN = /^[\t\n\r !#%&(-[\]^_`a-z{|}~]*$/;
const COMMENT = /--|\/\*/;
const WHOLE_NUMBER = /(?<![\w.])\d+(?![\w.])/g;
