import { z } from 'zod';
import { type Address, isLoopback } from './address.js';
import { type WebhookTarget, webhookSchema } from './audit.js';
import { NOTICE_FIELDS, NOTICE_KINDS, type NoticeKind, PLACEHOLDER, SHARED_KINDS } from './notice-kinds.js';
import { isCertificate } from './pem.js';
import { hinted, type Sources, valueSchemas } from './values.js';

/** What goes to a channel. */
interface Chosen {
  readonly kinds: readonly NoticeKind[];
}

export interface SlackTarget extends Chosen {
  /** Whoever has it may post: a secret. */
  readonly url: string;
  /** What reads it: by that is made harmless what people wrote. */
  readonly format: 'slack' | 'mattermost';
}

export interface SmtpTarget extends Chosen {
  readonly server: Address;
  readonly from: string;
  /** `starttls` demands it; `implicit` speaks TLS from the first byte; `none` stays plain, on this machine alone. */
  readonly tls: 'starttls' | 'implicit' | 'none';
  /** PEM; the machine's own authorities when not given. */
  readonly ca: string | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
}

/** A text of the operator's in the place of the built-in one. */
export interface NoticeTemplate {
  readonly subject: string;
  readonly text: string;
}

export type NoticeTemplates = Readonly<Partial<Record<NoticeKind, Partial<NoticeTemplate>>>>;

/** By which channels people are told, and in which words. */
export interface NoticeSettings {
  readonly slack: SlackTarget | undefined;
  readonly webhook: (WebhookTarget & Chosen) | undefined;
  readonly smtp: SmtpTarget | undefined;
  readonly templates: NoticeTemplates;
}

/** A mailbox in the plain form (RFC 5321 section 4.1.2, Dot-string), by name: nothing in it can be read as two, or as a header. */
export const MAILBOX = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?$/;

const MAILBOX_PROBLEM = hinted('not an e-mail address', 'daypass@example.com');
const SLACK_PROBLEM = hinted(
  'not the address of an incoming webhook',
  'https://… with nothing behind #; http:// on this machine alone',
);
const FORMAT_PROBLEM = hinted('not a format', 'slack or mattermost');
const PLAIN_PROBLEM = hinted('e-mail off this machine needs TLS', 'tls: starttls, or tls: implicit');
const LOGIN_PROBLEM = hinted('user and password belong together', 'give both, or neither');

/** `notices:` of `daypass.yaml`. */
export function noticesSchema(sources: Sources) {
  const { secret } = valueSchemas(sources);
  return z.strictObject({
    slack: z
      .strictObject({
        url: secret.refine(isHook, SLACK_PROBLEM),
        format: z.enum(['slack', 'mattermost'], FORMAT_PROBLEM).default('slack'),
        kinds: kindsSchema(SHARED_KINDS),
      })
      .optional(),
    webhook: webhookSchema(sources)
      .extend({ kinds: kindsSchema(NOTICE_KINDS) })
      .optional(),
    smtp: smtpSchema(sources).optional(),
    templates: z.strictObject(templateShape()).prefault({}),
  });
}

function kindsSchema(all: readonly NoticeKind[]) {
  const problem = hinted('not a kind of notice', `there are: ${NOTICE_KINDS.join(', ')}`);
  return z.array(z.enum(NOTICE_KINDS, problem)).default([...all]);
}

function smtpSchema(sources: Sources) {
  const { address, secret } = valueSchemas(sources);
  return z
    .strictObject({
      server: address,
      from: z.string().regex(MAILBOX, MAILBOX_PROBLEM),
      tls: z.enum(['starttls', 'implicit', 'none']).optional(),
      ca: secret.refine(isCertificate, 'not a PEM certificate').optional(),
      user: z.string().min(1).max(200).optional(),
      password: secret.optional(),
      kinds: kindsSchema(NOTICE_KINDS),
    })
    .refine(({ server, tls }) => tls !== 'none' || isLoopback(server.host), { error: PLAIN_PROBLEM, path: ['tls'] })
    .refine(({ user, password }) => (user === undefined) === (password === undefined), {
      error: LOGIN_PROBLEM,
      path: ['user'],
    });
}

function templateShape() {
  const shape = (kind: NoticeKind) =>
    z
      .strictObject({
        subject: textSchema(kind)
          .max(200)
          .regex(/^[^\r\n]*$/, 'a subject is one line')
          .optional(),
        text: textSchema(kind).max(8_000).optional(),
      })
      .optional();
  return Object.fromEntries(NOTICE_KINDS.map((kind) => [kind, shape(kind)]));
}

function textSchema(kind: NoticeKind) {
  return z
    .string()
    .min(1)
    .superRefine((text, context) => {
      const fields: readonly string[] = NOTICE_FIELDS[kind];
      const there = `${kind} has: ${fields.map((field) => `{{${field}}}`).join(', ')}`;
      for (const [, field = ''] of text.matchAll(PLACEHOLDER)) {
        if (!fields.includes(field)) context.addIssue(hinted(`unknown field "${field}"`, there));
      }
      if (/\{\{|\}\}/.test(text.replace(PLACEHOLDER, ''))) context.addIssue(hinted('not a placeholder', there));
    });
}

/** The parsed key in the gateway's own words. */
export function toNoticeSettings(file: z.output<ReturnType<typeof noticesSchema>> | undefined): NoticeSettings {
  const { slack, webhook, smtp, templates = {} } = file ?? {};
  return {
    slack,
    webhook,
    smtp: smtp && {
      ...{ server: smtp.server, from: smtp.from, kinds: smtp.kinds },
      ...{ ca: smtp.ca, user: smtp.user, password: smtp.password },
      tls: smtp.tls ?? (isLoopback(smtp.server.host) ? 'none' : 'starttls'),
    },
    templates: Object.fromEntries(
      Object.entries(templates).map(([kind, given]) => [
        kind,
        Object.fromEntries(Object.entries(given ?? {}).filter(([, text]) => text !== undefined)),
      ]),
    ),
  };
}

/** An incoming webhook's address carries its secret in the path, and may have a query. */
function isHook(text: string): boolean {
  if (!/^https?:\/\/[^\s\\#@]+$/.test(text) || !URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''));
}
