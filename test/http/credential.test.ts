import t from 'tap';
import { formatHandle, mintId, mintSecret } from '../../src/grant/handle.js';
import type { Header } from '../../src/http/action.js';
import { hasForeignAuthorization, readCredential, readCredentialBeside } from '../../src/http/credential.js';
import { selectCarried, selectService } from '../../src/http/headers/host.js';

const [one, other] = [0, 1].map(() => formatHandle({ id: mintId(), secret: mintSecret() })) as [string, string];
const bearer = (handle: string): Header => ['Authorization', `Bearer ${handle}`];
const own = (handle: string): Header => ['daypass-handle', handle];
const basic = (text: string): Header => ['authorization', `Basic ${Buffer.from(text).toString('base64')}`];

t.test('a handle is taken from one place, or from several that say the same', async (t) => {
  const taken: [headers: Header[], isAmbient: boolean][] = [
    [[bearer(one)], false],
    [[own(` ${one} `)], false],
    [[own(one), bearer(one)], false],
    [[own(one), basic('alice:for the service')], false],
    [[basic(`${one}:`)], true],
    [[basic(`alice:${one}`)], true],
    [[basic(`${one}:${one}`)], true],
  ];
  for (const [headers, isAmbient] of taken)
    t.same(readCredential(headers), { presented: one, isAmbient }, `${headers}`);
});

t.test('of two nobody guesses which one was meant', async (t) => {
  for (const headers of [
    [bearer(one), bearer(other)],
    [bearer(one), bearer(one)],
    [bearer(one), basic('alice:for the service')],
    [own(one), own(one)],
    [own(one), bearer(other)],
    [own(one), basic(`alice:${other}`)],
    [basic(`${one}:${other}`)],
  ])
    t.equal(readCredential(headers), null, `${headers}`);
});

t.test('an Authorization of another kind is the service’s where it is one, and holds nothing of ours', async (t) => {
  const theirs = basic('alice:for the service');
  t.ok(hasForeignAuthorization([theirs]));
  t.same(readCredentialBeside([theirs, own(one)]), { presented: one, isAmbient: false });
  const token = `dpt_${mintId()}`;
  for (const headers of [
    [],
    [theirs, theirs],
    [bearer(one)],
    [basic(`alice:${one}`)],
    [bearer(token)],
    [basic(token)],
    [bearer('dpt_cut')],
  ])
    t.notOk(hasForeignAuthorization(headers), `${headers}`);
});

t.test('a second Host selects nothing, whatever it says', async (t) => {
  const host = (name: string): Header => ['Host', name];
  t.match(selectService([host('web.gw.test')], 'gw.test'), { kind: 'service', name: 'web' });
  for (const more of ['web.gw.test', 'other.gw.test', ''])
    t.match(selectService([host('web.gw.test'), host(more)], 'gw.test'), { kind: 'invalid' }, more);
  const carried = { service: 'web', door: '127.0.0.1:6001' } as Parameters<typeof selectCarried>[1];
  t.match(selectCarried([host('localhost:6001')], carried), { kind: 'service', name: 'web' });
  for (const more of ['localhost:6001', 'evil.test', ''])
    t.match(selectCarried([host('localhost:6001'), host(more)], carried), { kind: 'invalid' }, more);
});
