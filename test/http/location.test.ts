import t from 'tap';
import { parseWebAddress } from '../../src/config/address.js';
import { responseHeaders } from '../../src/http/headers/headers.js';
import { HttpUpstream } from '../../src/http/service/target.js';

/** What a client is told of a service at `upstream` that answers with this Location; `host`: what it is sent of the client. */
function told(upstream: string, location: string, host?: string, name = 'Location'): string | undefined {
  const address = parseWebAddress(upstream);
  if (address === undefined) throw new Error(`no web address: ${upstream}`);
  const service = new HttpUpstream(address, [], { preservesHost: host !== undefined });
  return responseHeaders([[name, location]], service.addressedAs(host ?? 'web.example.test'))[0]?.[1];
}

/** Upstream, Location, and the path it becomes. */
const OWN: readonly (readonly [string, string, string])[] = [
  ['http://127.0.0.1:7803', 'http://127.0.0.1:7803/items/?a=1#b', '/items/?a=1#b'],
  ['http://127.0.0.1:7803', 'https://127.0.0.1:7803/items/?a=1#b', '/items/?a=1#b'],
  ['http://127.0.0.1:7803', 'HTTPS://127.0.0.1:7803', '/'],
  ['http://127.0.0.1:7803', '//127.0.0.1:7803/x', '/x'],
  ['https://web.internal:8443', 'http://web.internal:8443/x', '/x'],
  ['https://web.internal:8443', 'https://WEB.internal:8443/x', '/x'],
  ['http://[::1]:7803', 'https://[0:0::1]:7803/x', '/x'],
  // The default port of either scheme, written or not.
  ['http://web.internal', 'https://web.internal/x', '/x'],
  ['http://web.internal:80', 'https://web.internal:443/x', '/x'],
  ['https://web.internal', 'http://web.internal/x', '/x'],
  ['http://web.internal', '//web.internal/x', '/x'],
  // The same port under the other scheme.
  ['http://web.internal', 'https://web.internal:80/x', '/x'],
  ['http://web.internal:443', 'https://web.internal/x', '/x'],
  ['https://web.internal', 'http://web.internal:443/x', '/x'],
  // Below a base path.
  ['http://127.0.0.1:7803/base', 'https://127.0.0.1:7803/base/x', '/x'],
  ['http://127.0.0.1:7803/base', 'https://127.0.0.1:7803/base', '/'],
  ['http://127.0.0.1:7803/base', '/base/x?a=1#b', '/x?a=1#b'],
  ['http://127.0.0.1:7803/base', '/base', '/'],
];

t.test('a Location at the host and port of the service becomes a path, whether it says http or https', async (t) => {
  for (const [upstream, location, path] of OWN) t.equal(told(upstream, location), path, `${upstream} ← ${location}`);
});

const OTHERS: readonly (readonly [string, string])[] = [
  ['http://web.internal', 'https://web.internal:8443/x'],
  ['http://web.internal', 'http://web.internal:443/x'],
  ['http://web.internal:8080', 'https://web.internal/x'],
  ['http://web.internal:8080', 'http://web.internal/x'],
  ['http://127.0.0.1:7803', 'https://127.0.0.1:7804/x'],
  ['http://127.0.0.1:7803', 'https://127.0.0.2:7803/x'],
  ['http://web.internal', 'https://web.internal.evil.test/x'],
  ['http://web.internal', 'https://web.internal@evil.test/x'],
  ['http://127.0.0.1:7803', 'https://127.0.0.1:7803@evil.test/x'],
  ['http://127.0.0.1:7803', 'https://evil.test\\@127.0.0.1:7803/x'],
  ['http://127.0.0.1:7803', 'ws://127.0.0.1:7803/x'],
  ['http://127.0.0.1:7803', 'wss://127.0.0.1:7803/x'],
  ['http://127.0.0.1:7803', 'ftp://127.0.0.1:7803/x'],
  ['http://127.0.0.1:7803', 'https://127.0.0.1:78030/x'],
  ['http://127.0.0.1:7803/base', 'https://127.0.0.1:7803/x'],
  ['http://127.0.0.1:7803/base', 'https://127.0.0.1:7803/based/x'],
  ['http://127.0.0.1:7803/base', 'https://127.0.0.1:7803/base/../x'],
  ['http://127.0.0.1:7803', '/x'],
  ['http://127.0.0.1:7803', '/base/../x'],
  ['http://127.0.0.1:7803/base', '/x'],
  ['http://127.0.0.1:7803/base', '/based/x'],
  ['http://127.0.0.1:7803/base', '/base//evil.test'],
  ['http://127.0.0.1:7803/base', '/base/\\evil.test'],
  ['http://127.0.0.1:7803/base', 'x/y'],
  ['http://127.0.0.1:7803', '../x'],
];

t.test('a Location at another host or port, or outside the base path, is passed on as it is', async (t) => {
  for (const [upstream, location] of OTHERS) t.equal(told(upstream, location), location, `${upstream} ← ${location}`);
});

t.test('what else leads a browser, or is kept, becomes a path as well', async (t) => {
  const upstream = 'http://10.0.0.7:3000';
  t.equal(told(upstream, `${upstream}/x?y`, undefined, 'Content-Location'), '/x?y');
  const refreshes: readonly (readonly [string, string])[] = [
    [`0; url=${upstream}/x?a='b'`, "0; url=/x?a='b'"],
    [`5;URL = "${upstream}/x"; more`, '5;URL = "/x"; more'],
    [`1.5, '${upstream}/x'`, "1.5, '/x'"],
    [`3 ${upstream}/x`, '3 /x'],
  ];
  for (const [refresh, becomes] of refreshes) t.equal(told(upstream, refresh, undefined, 'Refresh'), becomes);
  for (const other of ['5', '5;', '0; url=/x', '0; url=https://evil.test/x', `0; url=${upstream}//evil.test`, ''])
    t.equal(told(upstream, other, undefined, 'Refresh'), other);
});

t.test('a cookie for the base path, or below, is for what the client knows it as', async (t) => {
  const upstream = 'http://10.0.0.7:3000/base';
  const cookies: readonly (readonly [string, string])[] = [
    ['a=/base; Path=/base; Secure', 'a=/base; Path=/; Secure'],
    ['a=b;path = /base/x; Domain=.test', 'a=b;path = /x'],
    ['a=b; Path=/base/', 'a=b; Path=/'],
    ['a=b; Path=/base ; Secure', 'a=b; Path=/; Secure'],
    ['a=b; Path=/based', 'a=b; Path=/based'],
    ['a=b; Path=/', 'a=b; Path=/'],
    ['a=b; xpath=/base', 'a=b; xpath=/base'],
  ];
  for (const [cookie, becomes] of cookies) t.equal(told(upstream, cookie, undefined, 'Set-Cookie'), becomes);
  t.equal(told('http://10.0.0.7:3000', 'a=b; Path=/base', undefined, 'Set-Cookie'), 'a=b; Path=/base');
});

t.test('a service that is sent the host of the client may call itself by it as well', async (t) => {
  const upstream = 'http://10.0.0.7:3000/base';
  for (const host of ['web.gw.test', 'Web.GW.test', 'web.gw.test:443', 'web.gw.test:80'])
    for (const location of [
      'https://web.gw.test/base/x?y#z',
      'http://web.gw.test/base/x?y#z',
      '//WEB.gw.test/base/x?y#z',
    ])
      t.equal(told(upstream, location, host), '/x?y#z', `${host} ← ${location}`);
  t.equal(told(upstream, 'http://10.0.0.7:3000/base/x', 'web.gw.test'), '/x', 'and by its own');
  t.equal(told(upstream, 'http://127.0.0.1:21417/base/x', '127.0.0.1:21417'), '/x');
  for (const other of ['https://gw.test/base/x', 'https://web.gw.test:8443/base/x', 'https://db.gw.test/base/x'])
    t.equal(told(upstream, other, 'web.gw.test'), other);
  const own = 'https://web.gw.test/base/x';
  t.equal(told(upstream, own), own, 'a service that is not sent it has it from elsewhere');
});

t.test('no Location at the own host becomes one that leads to another, under either scheme', async (t) => {
  const hostile = [
    '//evil.test',
    '/\\evil.test',
    '\\\\evil.test',
    '/.//evil.test',
    '/x/..//evil.test',
    '/\t/evil.test',
  ];
  const more = [
    '/%2e//evil.test',
    '/%2e%2e//evil.test',
    '/@evil.test',
    '/%2f/evil.test',
    '/https://evil.test',
    '?//evil.test',
  ];
  for (const upstream of ['http://127.0.0.1:7803', 'http://127.0.0.1:7803/base'])
    for (const scheme of ['http:', 'https:', ''])
      for (const rest of [...hostile, ...more]) {
        const location = `${scheme}${upstream.slice('http:'.length)}${rest}`;
        const { hostname } = new URL(told(upstream, location) ?? '', 'https://web.example.com/a');
        t.ok(['web.example.com', '127.0.0.1'].includes(hostname), `${location} leads to ${hostname}`);
      }
});

t.test('bytes beyond ASCII in a Location that becomes a path stay the bytes they were', async (t) => {
  const utf8 = Buffer.from('/caf\u00e9?q=\u4f60#\u00fc', 'utf8').toString('latin1');
  const path = '/caf%C3%A9?q=%E4%BD%A0#%C3%BC';
  t.equal(told('http://web.internal', `https://web.internal${utf8}`), path);
  t.equal(told('http://web.internal/base', `//web.internal/base${utf8}`), path);
  t.equal(told('http://web.internal', 'http://web.internal/caf\xe9'), '/caf%E9');
});
