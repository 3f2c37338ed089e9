import { createTransport, type Transporter } from 'nodemailer';
import { RECEIVER_WITHIN } from '../audit/receiver.js';
import { MAILBOX, type NoticeTemplates, type SmtpTarget } from '../config/notices.js';
import { DaypassError } from '../errors.js';
import { type Channel, kindOf, type Message, REPEATED } from './channel.js';
import { render, templateOf } from './template.js';

/** Sends e-mail, each to one recipient. `Message-ID` is the same whenever a notice is sent again. */
export class Smtp implements Channel {
  readonly name = 'smtp';
  readonly #from: string;
  readonly #templates: NoticeTemplates;
  readonly #transport: Transporter;

  constructor(target: Omit<SmtpTarget, 'kinds'>, templates: NoticeTemplates, within = RECEIVER_WITHIN) {
    const { server, from, tls, ca, user, password } = target;
    this.#from = from;
    this.#templates = templates;
    this.#transport = createTransport({
      ...{ host: server.host, port: server.port },
      ...{ secure: tls === 'implicit', requireTLS: tls === 'starttls', ignoreTLS: tls === 'none' },
      tls: { minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) },
      ...(user === undefined || password === undefined ? {} : { auth: { user, pass: password } }),
      ...{ connectionTimeout: within, greetingTimeout: within, socketTimeout: within, dnsTimeout: within },
      // Nothing in a message names a file or an address to be read.
      ...{ disableFileAccess: true, disableUrlAccess: true },
    });
  }

  async send(message: Message): Promise<void> {
    const { id, recipient, kind, at, data, repeated } = message;
    if (!MAILBOX.test(recipient)) throw new DaypassError('receiver_refused', 'This is no e-mail address.');
    const { subject, text } = render(templateOf(kindOf(message), this.#templates), data);
    await this.#transport.sendMail({
      from: { name: 'Daypass', address: this.#from },
      to: { name: '', address: recipient },
      envelope: { from: this.#from, to: [recipient] },
      ...{ subject, text: repeated ? `${text}\n\n${REPEATED}\n` : `${text}\n`, date: new Date(at) },
      messageId: `<${id}.notice@${this.#from.slice(this.#from.lastIndexOf('@') + 1)}>`,
      // RFC 3834: nobody's holiday answers it.
      headers: { 'Auto-Submitted': 'auto-generated', 'Daypass-Notice': kind },
    });
  }

  close(): void {
    this.#transport.close();
  }
}
