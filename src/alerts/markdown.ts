/** Breaks a word for whoever looks for mentions, addresses and pictures in it, and for nobody who reads it. */
const BREAK = '\u200b';
/** What makes markup of Markdown, and sequences of Slack's, which Mattermost reads too. */
const MARKUP = /[\\`*_~[\](){}#|!$<>&"]/g;
/** What makes a list, a quotation or a rule of a line that begins with it. */
const BEGINNING = /^(?:[-+=]|\d{1,9}(?=[.)]))/;
/** A colon that is not between numbers: `https:`, `:smile:`. */
const WORD_COLON = /:(?!\d)|(?<!(?<![\p{L}\p{N}])\d+):/gu;
/** A dot within a name: `www.example.com`, and none that ends a sentence or stands in a number. */
const WORD_DOT = /\.(?=\p{L})|(?<!(?<![\p{L}\p{N}])\d+)\.(?=\d)/gu;
/** A time as the gateway writes it. */
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;
/** The gateway's own address, of which nothing could be made but the link that it is. */
const OWN_LINK = /^https?:\/\/[A-Za-z0-9.:-]+\/[A-Za-z0-9/-]*$/;
/** What people copy into a shell: the gateway writes them, of ids and names alone. */
const COMMANDS = new Set(['decide', 'connect']);

/**
 * A value as Mattermost shows it: as it was written, whatever stands in it. Character references stand for themselves in
 * Markdown and make no markup (CommonMark section 2.5). They do not hide a mention, which Mattermost's server looks for behind them:
 * an invisible character does, behind each `@`, and within what could be an address or a picture.
 */
export function harmlessMarkdown(value: string, field: string): string {
  if (TIME.test(value) || (field === 'link' && OWN_LINK.test(value))) return value;
  if (COMMANDS.has(field) && !value.includes('`'))
    return value.includes('\n') ? `\`\`\`\n${value}\n\`\`\`` : `\`${value}\``;
  return value
    .split('\n')
    .map((line) => marked(broken(line.trimStart())))
    .join('\n');
}

function broken(line: string): string {
  return line.replaceAll('@', `@${BREAK}`).replace(WORD_COLON, `${BREAK}:`).replace(WORD_DOT, `${BREAK}.${BREAK}`);
}

function marked(line: string): string {
  return line
    .replace(MARKUP, reference)
    .replace(BEGINNING, (mark) => (/\d/.test(mark) ? `${mark}${BREAK}` : reference(mark)));
}

function reference(character: string): string {
  return `&#${character.charCodeAt(0)};`;
}
