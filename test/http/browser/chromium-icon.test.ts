import t from 'tap';
import { startGateway } from '../../support/gateway.js';
import { raw } from '../gateway.js';
import { launch, logIn, skip, startPages } from './chromium-fixture.js';
import { webPolicy } from './fixture.js';

t.test('a real browser does not ask for a refused icon with every page', { skip }, async (t) => {
  const { url } = await startPages(t);
  const services = { x: webPolicy(url, 'x').replace('"GET /**"', '"GET /orders/**"') };
  const gateway = await startGateway(t, { services });
  const grant = await gateway.issue({ service: 'x' });
  const at = (host: string, path = '') => `http://${host}:${gateway.ports.http}${path}`;
  const page = await (await launch(t)).newPage();
  await logIn(page, gateway, at('localhost'));
  for (let order = 0; order < 8; order += 1) {
    await page.goto(at('x.localhost', `/orders/${order}`));
    await page.waitForTimeout(200); // it asks for the icon when the page is there
  }
  const texts = (await gateway.events()).map(({ payload }) => payload?.text);
  t.equal(texts.filter((text) => /^GET .orders/.test(String(text))).length, 8);
  const asked = texts.filter((text) => text === 'GET /favicon.ico').length;
  t.ok(asked > 0 && asked <= 2, `asked ${asked} times`);

  const answerTo = (line: string) =>
    raw(
      t,
      gateway.ports.http,
      `${line} HTTP/1.1\r\nHost: x.localhost\r\nAuthorization: Bearer ${grant.handle}\r\nConnection: close\r\n\r\n`,
    ).ended;
  t.match(await answerTo('GET /favicon.ico'), /^HTTP\/1\.1 403 [\s\S]*\r\ncache-control: private, max-age=3600\r\n/i);
  for (const line of ['GET /favicon.ico?x', 'GET /other', 'DELETE /favicon.ico'])
    t.match(await answerTo(line), /^HTTP\/1\.1 403 [\s\S]*\r\ncache-control: no-store\r\n/i, line);
});
