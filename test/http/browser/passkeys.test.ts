import { existsSync } from 'node:fs';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { startGateway, type TestGateway } from '../../support/gateway.js';
import { startService, webPolicy } from './fixture.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const skip = CHROMIUM === undefined ? 'Chromium is not installed' : false;

async function launch(t: Test) {
  const browser = await chromium.launch({ executablePath: CHROMIUM ?? '', args: ['--no-sandbox'] });
  t.teardown(() => browser.close());
  return browser;
}

/** A page whose browser has an authenticator that verifies its owner; how many passkeys that holds. */
async function withAuthenticator(context: BrowserContext) {
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      ...{ protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true },
      ...{ isUserVerified: true, automaticPresenceSimulation: true },
    },
  });
  const count = async () => (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials.length;
  const verifies = (isUserVerified: boolean) =>
    devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified });
  return { page, count, verifies };
}

/** The link that an operator is given for somebody. */
async function invite(gateway: TestGateway, asked: object): Promise<string> {
  const { status, body } = await gateway.operator('POST', '/v1/invitations', { by: 'ops', ...asked });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return String(body.url);
}

const CARL = {
  ...{ subject: 'carl', name: 'Carl <b>', kind: 'contractor', sponsor: 'dana' },
  endsAt: new Date(Date.now() + 86_400_000).toISOString(),
};

async function startInviting(t: Test) {
  const service = await startService(t);
  const gateway = await startGateway(t, { services: { web: webPolicy(service.url) } });
  await invite(gateway, { subject: 'dana', name: 'Dana', kind: 'employee' });
  return { gateway, home: `http://localhost:${gateway.ports.http}` };
}

/** What a page's status line says, once it says something. */
async function said(page: Page): Promise<string> {
  await page.waitForSelector('[role=status]:not(:empty)');
  return (await page.textContent('[role=status]')) ?? '';
}

t.test(
  'a real browser: invited, a passkey, logged in, the service; again another day, and recovery',
  { skip },
  async (t) => {
    const { gateway, home } = await startInviting(t);
    const context = await (await launch(t)).newContext();
    const { page, count } = await withAuthenticator(context);
    const faults: string[] = [];
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));

    const link = await invite(gateway, CARL);
    await page.goto(link);
    await page.waitForSelector('#invited:not([hidden])');
    t.equal(page.url(), `${home}/invite`, 'the secret is out of the address line');
    t.match(await page.textContent('#who'), 'Carl <b>, ops invites you to this gateway. Your name here is carl.');
    t.match(
      await page.textContent('#until'),
      /^Your account ends [\d-]+ [\d:]+ UTC\. .* once, until [\d-]+ [\d:]+ UTC\.$/,
    );
    await page.click('#create');
    await page.waitForURL(`${home}/`);
    t.match(await page.textContent('h1'), 'Logged in as carl');
    t.equal(await count(), 1);
    await gateway.issue({ service: 'web', principal: 'carl' });
    await page.goto(`http://web.localhost:${gateway.ports.http}/`);
    t.match(await page.textContent('body'), 'user-agent', 'and the service opens');

    await page.goto(`${home}/`);
    await page.click('form[action="/logout"] button');
    await page.waitForSelector('#use');
    await page.click('#use');
    await page.waitForSelector('form[action="/logout"]');
    t.match(await page.textContent('h1'), 'Logged in as carl', 'no name was asked for');

    await page.click('form[action="/logout"] button');
    await page.waitForSelector('#use');
    await page.goto(`http://web.localhost:${gateway.ports.http}/orders/7`);
    await page.click('#use');
    await page.waitForURL(`http://web.localhost:${gateway.ports.http}/orders/7`);
    t.match(await page.textContent('body'), 'user-agent', 'the login led back to the service');

    await page.goto(`${home}/passkeys`);
    await page.click('#add');
    t.match(await said(page), /has a passkey of yours already/);
    t.equal(await page.$('[data-remove]'), null, 'the last one cannot be removed');

    await page.goto(link);
    t.match(await said(page), /used already.* Look whether you opened the whole link/);
    const again = await invite(gateway, { subject: 'carl', reason: 'laptop lost' });
    await page.goto(`${home}/login`);
    await page.click('#use');
    t.match(await said(page), /not known here, or was ended/);
    await page.goto(again);
    await page.waitForSelector('#invited:not([hidden])');
    await page.click('#create');
    await page.waitForURL(`${home}/`);
    t.match(await page.textContent('h1'), 'Logged in as carl');
    t.equal(await count(), 1, 'the new passkey took the place of the old one');
    // Answers that refuse are told to the console by Chromium itself.
    t.same(
      faults.filter((text) => !/status of 40[0139]/.test(text)),
      [],
      'the policy of the pages allows all they do',
    );

    const audited = await gateway.ledger.query<{ line: string }>(
      `select concat_ws(' ', actor, act, target) as line from daypass.audit where result = 'done' order by seq`,
    );
    const acts = audited.map(({ line }) => line);
    for (const act of ['ops person.invite person:carl', 'carl passkey.add person:carl']) t.ok(acts.includes(act), act);
    const lines = JSON.stringify(gateway.lines);
    for (const url of [link, again]) t.notOk(lines.includes(url.split('#')[1] ?? '-'), 'no secret is in the log');
  },
);

t.test('an authenticator that verified nobody makes no passkey', { skip }, async (t) => {
  const { gateway } = await startInviting(t);
  const context = await (await launch(t)).newContext();
  const { page, count, verifies } = await withAuthenticator(context);
  await verifies(false);
  await page.goto(await invite(gateway, CARL));
  await page.waitForSelector('#invited:not([hidden])');
  await page.click('#create');
  t.match(await said(page), /Nothing was done/);
  t.equal(await count(), 0);
});

t.test('a second authenticator is added in a real browser, and the first removed', { skip }, async (t) => {
  const { gateway, home } = await startInviting(t);
  const context = await (await launch(t)).newContext();
  const first = await withAuthenticator(context);
  await first.page.goto(await invite(gateway, CARL));
  await first.page.waitForSelector('#invited:not([hidden])');
  await first.page.click('#create');
  await first.page.waitForURL(`${home}/`);
  await first.page.close();
  const { page, count } = await withAuthenticator(context);
  await page.goto(`${home}/passkeys`);
  await page.click('#add');
  await page.waitForSelector('[data-remove]');
  t.equal(await count(), 1);
  t.equal((await page.$$('[data-remove]')).length, 2);
  await page.click('[data-remove]');
  await page.waitForSelector('[data-remove]', { state: 'detached' });
  t.equal((await page.$$('text=made')).length, 1);
  await gateway.operator('POST', '/v1/people/carl/close', { reason: 'done', by: 'ops' });
  await page.goto(`${home}/`);
  t.match(await page.textContent('h1'), 'Not logged in');
  await page.click('#use');
  t.match(await said(page), /not known here, or was ended/);
});
