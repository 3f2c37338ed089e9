import t from 'tap';
import { startGateway } from '../../support/gateway.js';
import { launch, logIn, skip, startPages } from './chromium-fixture.js';
import { webPolicy } from './fixture.js';

t.test(
  'a real browser asks its person for the password of a service only where it reaches the service',
  { skip },
  async (t) => {
    const TYPED = `Basic ${Buffer.from('me:secret').toString('base64')}`;
    const authorizations: string[] = [];
    const { url } = await startPages(t, (req, res) => {
      const { authorization = '' } = req.headers;
      if (req.url !== '/favicon.ico') authorizations.push(`${req.url} ${authorization}`);
      const isLetIn = req.url === '/open' || authorization === TYPED;
      const asking = req.url === '/both' ? 'Bearer realm="x", Basic realm="y"' : 'Basic realm="Manager"';
      res.writeHead(isLetIn ? 200 : 401, { 'content-type': 'text/html', 'www-authenticate': asking });
      res.end(`<title>${isLetIn ? 'in' : 'out'}</title>`);
    });
    const services = {
      x: webPolicy(url, 'x'),
      y: webPolicy(url, 'y').replace('upstream: {', 'upstream: { pass_authorization: true,'),
    };
    const gateway = await startGateway(t, { services });
    for (const service of ['x', 'y']) await gateway.issue({ service });
    const at = (host: string) => `http://${host}:${gateway.ports.http}`;
    // Somebody who types their password for the service wherever they are asked for it.
    const context = await (await launch(t)).newContext({ httpCredentials: { username: 'me', password: 'secret' } });
    const page = await context.newPage();
    await logIn(page, gateway, at('localhost'));

    for (const path of ['/manager', '/both']) {
      const answer = await page.goto(`${at('x.localhost')}${path}`);
      t.equal(answer?.status(), 401);
      t.equal(await page.title(), 'out', "the service's own answer");
    }
    t.equal(await page.evaluate(`fetch('/data').then(({ status }) => status)`), 401);
    t.equal((await page.goto(`${at('x.localhost')}/open`))?.status(), 200, 'and what needs no password still works');
    t.same(authorizations, ['/manager ', '/both ', '/data ', '/open '], 'nothing was typed, and nothing asked twice');

    t.equal((await page.goto(`${at('y.localhost')}/manager`))?.status(), 200);
    t.equal(await page.title(), 'in');
    t.same(authorizations.slice(4), ['/manager ', `/manager ${TYPED}`]);
  },
);
