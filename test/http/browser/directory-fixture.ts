import type { Test } from 'tap';
import { PROVIDER_ENV, settingsFor, startRealProvider } from '../../identity/directory/real-provider.js';
import { freePort } from '../../support/ports.js';
import { startBrowsing } from './fixture.js';

export const ALICE = {
  preferred_username: 'alice',
  name: 'Alice A.',
  email: 'alice@example.com',
  groups: ['platform', 'dev'],
};

/** A gateway that was started before its provider. */
export async function withDirectory(t: Test, more = '') {
  const port = await freePort();
  const browsing = await startBrowsing(t, { settings: settingsFor(port, more), env: PROVIDER_ENV });
  const home = `http://localhost:${browsing.gateway.ports.http}`;
  const provider = await startRealProvider(t, port, [home]);
  provider.accounts.set('u-1', ALICE);
  provider.who = 'u-1';
  const people = () => browsing.gateway.ledger.query('select * from daypass.people order by subject');
  return { ...browsing, home, provider, people };
}
