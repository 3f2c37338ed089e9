import { type NoticeKind, PLACEHOLDER } from '../config/notice-kinds.js';
import type { NoticeTemplate, NoticeTemplates } from '../config/notices.js';
import { TEXTS } from './texts.js';

/** Everything that ends a line or hides what stands there: control and direction characters, line and paragraph separators. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu;
/** The one field of several lines: the gateway writes it, of ids and names alone. */
const LINES = 'connect';

export type Data = Readonly<Record<string, string | number | null>>;

/** @param harmless - makes a field's value harmless where the text goes */
export function render(
  { subject, text }: NoticeTemplate,
  data: Data,
  harmless: (value: string, field: string) => string = (value) => value,
): NoticeTemplate {
  const filled = (template: string) =>
    template.replace(PLACEHOLDER, (_, field: string) => harmless(wordOf(field, data[field] ?? '-'), field));
  return { subject: filled(subject).replace(UNSAFE, ' '), text: filled(text).trimEnd() };
}

function wordOf(field: string, value: string | number): string {
  const text = String(value);
  if (field !== LINES) return text.replace(UNSAFE, ' ');
  return text
    .split('\n')
    .map((line) => line.replace(UNSAFE, ' '))
    .join('\n');
}

/** A kind's text: the operator's where there is one, part by part. */
export function templateOf(kind: NoticeKind, given: NoticeTemplates): NoticeTemplate {
  return { ...TEXTS[kind], ...given[kind] };
}
