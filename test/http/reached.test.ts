import t from 'tap';
import { parseWebAddress } from '../../src/config/address.js';
import { reachedAt } from '../../src/http/service/reached.js';

t.test('where a service is reached, and the name that its certificate is verified by, stand in its URL', async (t) => {
  const plain = { isSecure: false };
  const secure = { isSecure: true };
  for (const [url, expected] of [
    ['http://web.internal', { ...plain, host: 'web.internal', port: 80, servername: 'web.internal' }],
    ['http://web.internal:8080/base', { ...plain, host: 'web.internal', port: 8080, servername: 'web.internal' }],
    ['https://web.internal', { ...secure, host: 'web.internal', port: 443, servername: 'web.internal' }],
    ['https://web.internal:80', { ...secure, host: 'web.internal', port: 80, servername: 'web.internal' }],
    ['http://10.0.0.1', { ...plain, host: '10.0.0.1', port: 80, servername: '' }],
    ['https://10.0.0.1:8443', { ...secure, host: '10.0.0.1', port: 8443, servername: '' }],
    ['https://[::1]', { ...secure, host: '::1', port: 443, servername: '' }],
    ['http://[fd00::7]:3000', { ...plain, host: 'fd00::7', port: 3000, servername: '' }],
  ] as const) {
    const address = parseWebAddress(url);
    if (address === undefined) throw new Error(`no address: ${url}`);
    t.same(reachedAt(address), expected, url);
  }
});
