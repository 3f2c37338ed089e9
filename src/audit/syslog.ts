import { harmlessJson } from '../log.js';
import { neutral } from '../recording/neutral.js';
import type { AuditLine } from './entry.js';
import { factsOf } from './facts.js';

/** RFC 5424, section 6.2.1: facility 13 is "log audit"; severities 4 and 6 are warning and informational. */
const FACILITY = 13 * 8;
const [WARNING, INFORMATIONAL] = [4, 6];
/** Characters of a value; the whole stands in the message. */
const LONGEST_VALUE = 500;
/** RFC 5612 keeps this number for what has none of its own. */
const STRUCTURED = 'daypass@32473';
/** RFC 5424, section 6.4: a message in UTF-8 begins with the byte order mark. */
const BOM = '\ufeff';

/**
 * A line as a syslog message (RFC 5424): its facts as structured data, its entry as the message. Whatever was typed into it,
 * it is one line without control characters, so it cannot pose as a second message.
 * @param host - who sends it
 */
export function syslogMessage(line: AuditLine, host: string, { whole = true } = {}): string {
  const facts = factsOf(line.entry);
  const severity = facts?.result === 'done' ? INFORMATIONAL : WARNING;
  const at = facts !== null && /^\d{4}-[\dT:.-]+Z$/.test(facts.at) ? facts.at : '-';
  const head = `<${FACILITY + severity}>1 ${at} ${printable(host, 255)} daypass - ${printable(facts?.act ?? 'unreadable', 32)}`;
  const { detail: _, at: __, seq: ___, ...told } = facts ?? { detail: null, at: null, seq: null };
  const values = { seq: line.seq, hash: line.hashAfter.toString('hex'), ...told };
  const data = Object.entries(values).map(([name, value]) => ` ${name}="${escaped(String(value ?? ''))}"`);
  const message = facts === null ? neutral(line.entry) : harmlessJson(line.entry);
  return `${head} [${STRUCTURED}${data.join('')}]${whole ? ` ${BOM}${message}` : ''}`;
}

/** RFC 6587, section 3.4.1: octet counting. */
export function syslogFrame(message: string): string {
  return `${Buffer.byteLength(message)} ${message}`;
}

/** RFC 5424, section 6: PRINTUSASCII, or `-` for nothing. */
function printable(text: string, longest: number): string {
  return text.replace(/[^\x21-\x7e]/g, '?').slice(0, longest) || '-';
}

/** RFC 5424, section 6.3.3: `"`, `\` and `]` are escaped by a backslash. */
function escaped(value: string): string {
  const short = value.length > LONGEST_VALUE ? `${value.slice(0, LONGEST_VALUE)}…` : value;
  return neutral(short).replace(/["\\\]]/g, '\\$&');
}
