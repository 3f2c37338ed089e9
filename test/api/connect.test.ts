import t from 'tap';
import { gatewayAddress } from '../../src/api/connect.js';
import { schemeOf } from '../../src/http/browser/place.js';

/** The address of a gateway with this domain and listener. */
function addressOf(domain: string, http: string, tls: boolean): string {
  return gatewayAddress({
    ...{ version: '0', gatewayId: '', pid: 1, startedAt: '', domain, liveSessions: 0, notReady: [], services: [] },
    ...{ listen: { http, postgres: null, health: null }, httpsOnly: tls, scheme: schemeOf(domain, tls) },
  });
}

t.test('a login link leads to where browsers reach the gateway', async (t) => {
  t.equal(addressOf('localhost', '127.0.0.1:8080', false), 'http://localhost:8080');
  t.equal(addressOf('gw.localhost', '127.0.0.1:80', false), 'http://gw.localhost');
  t.equal(addressOf('gw.example.com', '[::]:8443', true), 'https://gw.example.com:8443');
  t.equal(addressOf('gw.example.com', '0.0.0.0:443', true), 'https://gw.example.com');
  t.equal(addressOf('gw.example.com', '127.0.0.1:8080', false), 'https://gw.example.com', 'a proxy speaks TLS');
  t.equal(addressOf('localhost.example.com', '127.0.0.1:8080', false), 'https://localhost.example.com');
});
