import { existsSync } from 'node:fs';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { addPeople, browserOf, DUTIES, loginOf } from '../../api/ground.js';
import { withDirectory } from './directory-fixture.js';
import { askable, askedBy, TASK, tokenIn, visitorOf } from './request-fixture.js';
import { Wanderer } from './wanderer.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const skip = CHROMIUM === undefined ? 'Chromium is not installed' : false;

/** One gateway for all tests of this file, with a directory and people of its own. */
const { gateway, home, provider } = await withDirectory(t, DUTIES.split('\n')[0]);
await addPeople(gateway);
await askable(gateway, 'approvals: 1, nda: required');
const api = async (subject: string) => browserOf(gateway, await loginOf(gateway, subject));
const nda = { title: 'NDA 2026', textHash: 'a'.repeat(64), signedOn: '2026-01-01', validUntil: '2099-01-01' };
const olga = await api('olga');
for (const party of ['alice', 'bob']) await olga('POST', '/ndas', { ...nda, party });

async function audited(id: string) {
  const { body } = await gateway.operator('GET', `/v1/audit?target=${encodeURIComponent(`request:${id}`)}`);
  return body.entries as { act: string; via: string; actor: string; reason: string; result: string }[];
}

t.test('an approver sees who asks for what, and agrees to less; it is audited with its door', async (t) => {
  const id = await askedBy(gateway, 'alice', { hours: 'Mon-Sun 00:00-24:00 Europe/Berlin' });
  const lee = await visitorOf(gateway, 'lee');
  const page = await lee.look(`/requests/${id}`);
  const shown = page.body.replace(/<style>.*?<\/style>|<[^>]+>/g, ' ').replace(/\s+/g, ' ');
  for (const words of [
    ...['alice asks for web', TASK, 'The request waits for approvals.', 'Approvals: 0 of 1, by group:leads .'],
    ...['role viewer', 'lasts 2h, until ', 'hours Mon-Sun 00:00-24:00 Europe/Berlin', 'sponsor dana'],
    ...['NDA “NDA 2026”, which is valid until 2099-01-01', 'What viewer allows on web', 'GET /**', 'WS /live'],
  ])
    t.ok(shown.includes(words), words);
  t.match(await lee.decide(id, { answer: 'approve', comment: 'go\r\nahead', seconds: '900' }), { status: 303 });
  t.match(await (await api('lee'))('GET', `/requests/${id}`), {
    body: {
      ...{ state: 'approved', allowed: { seconds: 900 } },
      approvals: [{ approver: 'lee', comment: 'go ahead', seconds: 900 }],
    },
  });
  t.match(
    (await audited(id)).find(({ act }) => act === 'request.approve'),
    { actor: 'lee', via: 'browser', reason: 'go ahead', result: 'done' },
  );
  const after = await lee.look(`/requests/${id}`);
  t.match(after.body, /The request is approved and not activated yet\..*lee.*agreed to less \(15m\).*go ahead/s);
  t.notMatch(after.body, /<form/);
});

t.test(
  'a request that was refused, taken back or not answered is shown as such, and decided about no more',
  async (t) => {
    const lee = await visitorOf(gateway, 'lee');
    const [refused, withdrawn, lapsed] = [
      await askedBy(gateway, 'alice'),
      await askedBy(gateway, 'alice'),
      await askedBy(gateway, 'bob'),
    ];
    t.match(await lee.decide(refused, { answer: 'refuse', comment: '' }), { status: 422, body: /1 to 500 characters/ });
    t.match(await lee.decide(refused, { answer: 'refuse', comment: 'ask the hotline' }), { status: 303 });
    t.match(await lee.look(`/requests/${refused}`), { body: /was refused.*ask the hotline/s });
    const stale = (await lee.look(`/requests/${withdrawn}`)).body;
    await (await api('alice'))('POST', `/requests/${withdrawn}/withdraw`, { reason: 'not needed' });
    await gateway.ledger.query(`update daypass.access_requests set decide_by = now() where id = '${lapsed}'`);
    t.match(await lee.look(`/requests/${lapsed}`), { body: /was not answered in time/ });
    for (const id of [withdrawn, lapsed, refused]) {
      const { body } = await lee.look(`/requests/${id}`);
      t.notMatch(body, /<form/);
    }
    const token = /name="token" value="([^"]+)"/.exec(stale)?.[1] ?? '';
    t.match(await lee.send(`/requests/${withdrawn}`, { token, answer: 'approve', comment: 'yes', seconds: '' }), {
      ...{ status: 409, body: /Not decided\..*The request was withdrawn\..*Ask anew/s },
    });
  },
);

t.test('what stands against an approval is said before it is given', async (t) => {
  const id = await askedBy(gateway, 'bob');
  await gateway.ledger.query("update daypass.ndas set ended_at = now(), ended_by = 'olga' where party = 'bob'");
  const lee = await visitorOf(gateway, 'lee');
  await askable(gateway, 'approvals: 1, nda: required, max_ahead: 1d');
  const { body } = await lee.look(`/requests/${id}`);
  t.match(body, /Before you agree.*policy of web has changed.*The NDA that it stands on was taken back/s);
  t.match(await lee.decide(id, { answer: 'approve', comment: 'go ahead', seconds: '' }), {
    ...{ status: 409, body: /Not decided\..*was taken back.*registers a valid one/s },
  });
});

t.test(
  'a decision that may or may not have been made is said to be unknown, and who asks too often waits',
  async (t) => {
    const id = await askedBy(gateway, 'alice');
    const lee = await visitorOf(gateway, 'lee');
    const token = tokenIn((await lee.look(`/requests/${id}`)).body);
    const faulty = () => gateway.lines.filter(({ msg, rule }) => msg === 'refused' && /form/.test(String(rule)));
    t.equal((await lee.send(`/requests/${id}`, { token: 'another', answer: 'approve', comment: 'go' })).status, 403);
    t.equal((await lee.send(`/requests/${id}`, { token, answer: 'perhaps', comment: 'go' })).status, 422);
    t.match(faulty().slice(-2), [{ status: 403 }, { status: 422 }]);
    await gateway.ledger.query('alter table daypass.approvals rename to away');
    const unknown = await lee.send(`/requests/${id}`, { token, answer: 'approve', comment: 'go' });
    await gateway.ledger.query('alter table daypass.away rename to approvals');
    t.equal(unknown.status, 503);
    t.match(unknown.body, /cannot say whether this was decided.*open the page again/is);
    t.notMatch(unknown.body, /relation|approvals|\.js/);
    const statuses = new Set<number>();
    let last = unknown;
    for (let looks = 0; last.status !== 429 && looks < 500; looks += 1) {
      last = await lee.look('/requests/00000000-0000-7000-8000-000000000000');
      statuses.add(last.status);
    }
    t.same([...statuses], [404, 429]);
    t.match(last.headers['retry-after'], /^[1-9]/);
    const told = gateway.lines.filter(({ status, reason }) => status === 429 && reason === 'too_many');
    t.equal(told.length, 1);
  },
);

t.test('who is logged out while they write is told that nothing was decided, and finds what they wrote', async (t) => {
  const id = await askedBy(gateway, 'alice');
  const lee = await visitorOf(gateway, 'lee');
  const token = tokenIn((await lee.look(`/requests/${id}`)).body);
  await gateway.operator('POST', '/v1/logouts', { principal: 'lee', reason: 'left', by: 'ops' });
  const form = { token, answer: 'approve', comment: 'go <b>ahead</b>\u202e' };
  const late = await lee.send(`/requests/${id}`, form);
  t.match(late, { status: 401, body: /role="alert".*Not decided\..*You wrote:.*go &#60;b&#62;ahead.*Not logged in/s });
  t.ok(late.body.includes(`href="/login/oidc?to=${encodeURIComponent(`/requests/${id}`)}"`), 'and is led back');
  t.notMatch(late.body, /<b>|\u202e/);
  const foreign = { 'sec-fetch-site': 'same-site', origin: 'http://web.localhost' };
  t.notMatch((await lee.send(`/requests/${id}`, form, foreign)).body, 'ahead', 'no other page has it show anything');
  t.notMatch((await lee.look(`/requests/${id}`)).body, 'Not decided');
  t.match(await (await api('lee'))('GET', `/requests/${id}`), { body: { state: 'pending' } });
});

t.test('a link that is opened while logged out leads through the company directory and back', async (t) => {
  const id = await askedBy(gateway, 'alice');
  provider.accounts.set('u-9', { preferred_username: 'lena', groups: ['leads'] });
  provider.who = 'u-9';
  const browser = new Wanderer();
  const welcome = await browser.follow(`${home}/requests/${id}`);
  t.equal(welcome.status, 401);
  t.match(welcome.body, `To see the request ${id}, log in.`);
  t.notMatch((await browser.follow(`${home}/requests/call-me`)).body, /<p>[^<]*call-me/, 'no words of somebody else');
  t.notMatch(welcome.body, /alice|web\b(?! service)/, 'a stranger learns nothing of it');
  t.match(welcome.headers['www-authenticate'], /^Bearer /, 'no window for a password');
  const [, to = ''] = /href="(\/login\/oidc\?to=[^"]+)"/.exec(welcome.body) ?? [];
  const arrived = await browser.follow(`${home}${to}`);
  t.equal(arrived.at, `${home}/requests/${id}`);
  t.match(arrived.body, /alice asks for web.*<form method="post"/s);
});

async function withPasskey(context: BrowserContext, subject: string): Promise<Page> {
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      ...{ protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true },
      ...{ isUserVerified: true, automaticPresenceSimulation: true },
    },
  });
  const asked = { by: 'ops', subject, name: 'Lola', kind: 'employee' };
  const { body } = await gateway.operator('POST', '/v1/invitations', asked);
  await page.goto(String(body.url));
  await page.click('#create');
  await page.waitForURL(`${home}/`);
  await gateway.ledger.query(`update daypass.people set groups = '{leads}' where subject = '${subject}'`);
  return page;
}

/** Whether a page is as wide as its window: nobody has to push it about. */
function fits(page: Page): Promise<boolean> {
  return page.evaluate('document.documentElement.scrollWidth <= window.innerWidth');
}

async function launch(t: Test) {
  const browser = await chromium.launch({ executablePath: CHROMIUM ?? '', args: ['--no-sandbox'] });
  t.teardown(() => browser.close());
  return browser;
}

t.test(
  'a real browser: the link, a passkey, the page, a refusal on a telephone; an approval without JavaScript',
  { skip },
  async (t) => {
    const [first, second] = [await askedBy(gateway, 'alice'), await askedBy(gateway, 'alice')];
    const browser = await launch(t);
    const telephone = await browser.newContext({ viewport: { width: 360, height: 640 } });
    const page = await withPasskey(telephone, 'lola');
    const faults: string[] = [];
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
    await page.click('form[action="/logout"] button');
    await page.waitForSelector('#use');
    await page.goto(`${home}/requests/${first}`);
    await page.click('#use');
    await page.getByRole('heading', { level: 1, name: 'alice asks for web' }).waitFor();
    t.equal(page.url(), `${home}/requests/${first}`, 'the login led back to the page');
    t.ok(await fits(page));
    await page.getByLabel(/^Why, in one sentence/).fill('Ask for the other role, please');
    await page.getByRole('button', { name: 'Refuse' }).click();
    await page.getByText('The request was refused.').waitFor();
    t.equal(await page.getByRole('button').count(), 0);
    t.same(
      faults.filter((text) => !/status of 401/.test(text)),
      [],
    );

    const plain = await browser.newContext({ javaScriptEnabled: false });
    const [name, value] = (await loginOf(gateway, 'lee')).split('=');
    await plain.addCookies([{ name: name ?? '', value: value ?? '', domain: 'localhost', path: '/', secure: true }]);
    const desk = await plain.newPage();
    await desk.goto(`${home}/requests/${second}`);
    await desk.getByLabel('For how long').selectOption('900');
    const approve = desk.getByRole('form', { name: 'Approve' });
    await approve.getByLabel(/^What you agree to/).fill(' ');
    await approve.getByRole('button').click();
    t.match(await desk.getByRole('alert').textContent(), /Not decided\. The text must be/);
    t.equal(await desk.getByLabel('For how long').inputValue(), '900', 'what was chosen is kept');
    await approve.getByLabel(/^What you agree to/).fill('Look and touch nothing');
    await approve.getByRole('button').click();
    await desk.getByText('The request is approved and not activated yet.').waitFor();
    t.match(await desk.textContent('main'), /lee agreed to less \(15m\).*Look and touch nothing/);
    t.match((await audited(second)).map(({ act, via, result }) => `${act} ${via} ${result}`).sort(), [
      ...['request.approve browser done', 'request.approve browser refused', 'request.create browser done'],
    ]);
  },
);
