import t from 'tap';
import { addPeople, browserOf, DUTIES, loginOf } from '../../api/ground.js';
import { linkFor, startBrowsing } from './fixture.js';
import { askable, askedBy } from './request-fixture.js';

/** Where it is between noon and one now. */
function noonZone(): string {
  const ahead = new Date().getUTCHours() - 12;
  return `Etc/GMT${ahead < 0 ? '' : '+'}${ahead}`;
}

t.test('who opens a service outside the hours of their grant is told these, and not that they have none', async (t) => {
  const { gateway, service, browser } = await startBrowsing(t, { settings: DUTIES });
  await addPeople(gateway);
  await askable(gateway);
  const [lee, asker] = [
    browserOf(gateway, await loginOf(gateway, 'lee')),
    browserOf(gateway, await loginOf(gateway, 'alice')),
  ];
  // Between noon and one it may become one while this runs, but not two.
  const id = await askedBy(gateway, 'alice', { hours: `Mon-Sun 14:00-18:00 ${noonZone()}`, seconds: 28_800 });
  t.equal((await lee('POST', `/requests/${id}/approve`, { comment: 'go ahead' })).status, 200);
  t.equal((await asker('POST', `/requests/${id}/activate`, {})).status, 201);
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  const told = await alice.visit('web.localhost', '/orders');
  t.match(told, { status: 403, body: /This grant is for .*14:00-18:00.*it opens next on .*Open it again then/s });
  t.notMatch(told.body, 'sponsor');
  t.same(service.seen, []);
  t.match(await alice.visit('shop.localhost', '/'), { status: 403, body: /no access to shop.*Ask your sponsor/s });
});
