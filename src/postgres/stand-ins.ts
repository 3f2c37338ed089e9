import type { Prepared } from './names.js';
import type { Analysis } from './sql/analysis.js';
import type { BindMessage, ParseMessage } from './wire/frontend.js';
import { type LongMessage, nameIn } from './wire/long-message.js';

/*
 * What stands in the record where the gateway has no text of a statement: only the server knows it, there is none, or its
 * message passed in pieces and was not held. Pure.
 */

/** A name whose statement only the server knows. */
export function unknown(kind: 'statement' | 'cursor', name: string): Prepared {
  return { text: `(${kind} ${JSON.stringify(name)} of the server's own)`, analysis: NO_STATEMENT };
}

/** A FunctionCall: it runs a function by its number. */
export function functionCall(oid: number): Prepared {
  return { text: `(FunctionCall message: function ${oid})`, analysis: NO_STATEMENT };
}

/** A Query that was not held. */
export function unreadQuery(message: LongMessage): Prepared {
  return unread(message, 0);
}

/** A Parse that was not held. Its parameters' types stand behind its text and are not read. */
export function unreadParse(message: LongMessage): {
  readonly target: Pick<ParseMessage, 'name' | 'madeTypes'>;
  readonly statement: Prepared;
} {
  const { name, end } = nameIn(message);
  return { target: { name, madeTypes: [] }, statement: unread(message, end) };
}

/** A Bind that was not held. */
export function unreadBind(message: LongMessage): BindMessage {
  const portal = nameIn(message);
  const parameters = [`… (${message.length} bytes, sha256:${message.sha256})`];
  return { portal: portal.name, statement: nameIn(message, portal.end).name, parameters };
}

/** A FunctionCall that was not held. */
export function unreadCall(message: LongMessage): Prepared {
  return { ...unread(message, 0), text: functionCall(message.head.readUInt32BE(0)).text };
}

/** The beginning of the text, and what tells the message from every other. */
function unread({ head, length, sha256 }: LongMessage, from: number): Prepared {
  return {
    text: head.toString('utf8', from).replace(/(?:\0.*|\ufffd+)$/s, ''),
    analysis: { ok: false, reason: 'too_large', message: 'the statement is too long to be judged' },
    whole: { length, sha256 },
  };
}

/** What a message does that is no SQL. */
const NO_STATEMENT: Analysis = { ok: true, statements: [] };
