import type { Page } from 'playwright-core';
import t from 'tap';
import { waitUntil } from '../../support/wait.js';
import { DOMAIN, launchProfile, logIn, skip, startOverTls } from './chromium-fixture.js';

/** A page of a sibling has the browser keep as many cookies as that allows, each as large as it may be. */
async function fill(page: Page, attributes: string): Promise<void> {
  await page.evaluate(`for (let at = 0; at < 200; at += 1)
    document.cookie = 'large' + at + '=' + 'x'.repeat(4_080) + '; Secure; Path=/; ${attributes}'`);
  // The script goes on before they are kept.
  const large = async () => (await page.context().cookies()).filter(({ name }) => name.startsWith('large'));
  await waitUntil('they are kept', async () => (await large()).length > 100);
}

t.test('a browser that a sibling locked out by cookies is freed by two presses', { skip }, async (t) => {
  const { gateway, origins, x: service, trusting } = await startOverTls(t);
  const { home, x, y } = origins;
  const context = await launchProfile(t, trusting);
  const page = await context.newPage();
  for (const attributes of [`Domain=${DOMAIN}`, 'Domain=example.test', `Domain=${DOMAIN}; SameSite=Strict`]) {
    await logIn(page, gateway, home);
    await page.goto(`${y}/`);
    await fill(page, attributes);
    const before = service.seen.length;
    for (const origin of [home, x]) {
      await page.goto(`${origin}/`);
      t.match(await page.textContent('h1'), 'Request Header Fields Too Large', attributes);
    }
    await page.click('a');
    t.match(await page.textContent('h1'), 'Delete your cookies here?');
    t.equal(page.url(), `${home}/.daypass/forget`);
    await page.click('button');
    await page.waitForSelector('h1:has-text("were deleted")');
    t.same(await context.cookies(), []);
    await page.click('a');
    t.match(await page.textContent('h1'), 'Not logged in');
    t.same(service.seen.slice(before), []);
    await logIn(page, gateway, home);
    await page.goto(`${x}/after`);
    t.equal(await page.title(), 'GET /after', attributes);
  }
});

t.test('no page of another host has a browser’s cookies deleted', { skip }, async (t) => {
  const { gateway, origins, trusting } = await startOverTls(t);
  const { home, x, y } = origins;
  const context = await launchProfile(t, trusting);
  const page = await context.newPage();
  await logIn(page, gateway, home);
  await page.goto(`${x}/`);
  const kept = await context.cookies(x);
  // Opened before: with so many cookies none of its pages loads any more.
  const hostile = await Promise.all([1, 2, 3, 4].map(() => context.newPage()));
  for (const tab of hostile) await tab.goto(`${y}/`);
  for (const [at, tab] of hostile.entries()) {
    // Fewer than there is room for in the browser, so that none of the others has to go.
    if (at === 2)
      await tab.evaluate(`for (let at = 0; at < 9; at += 1)
        document.cookie = 'large' + at + '=' + 'x'.repeat(4_080) + '; Secure; Path=/; Domain=${DOMAIN}'`);
    const address = `${at % 2 === 0 ? home : x}/.daypass/forget`;
    await tab.evaluate(
      `fetch('${address}', { method: 'POST', mode: 'no-cors', credentials: 'include' }).then(() => {}, () => {})`,
    );
    await tab.evaluate(`[document.forms[0].action, document.title] = ['${address}', '']; document.forms[0].submit()`);
    await tab.waitForSelector(`h1:has-text("${at % 2 === 0 ? 'Forbidden' : 'Method Not Allowed'}")`);
    const still = await context.cookies(x);
    t.same(
      still.filter(({ name }) => !name.startsWith('large')),
      kept,
      address,
    );
  }
});
