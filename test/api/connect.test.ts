import t from 'tap';
import { connectHints, gatewayAddress } from '../../src/api/connect.js';
import type { GatewayStatus } from '../../src/api/parts.js';
import { schemeOf } from '../../src/http/browser/place.js';

/** The address of a gateway with this domain and listener. */
function addressOf(domain: string, http: string, tls: boolean): string {
  return gatewayAddress(statusOf(domain, http, tls));
}

function statusOf(domain: string, http: string, tls: boolean): GatewayStatus {
  return {
    ...{
      version: '0',
      gatewayId: '',
      pid: 1,
      startedAt: '',
      domain,
      liveSessions: 0,
      notReady: [],
      problems: [],
      services: [],
    },
    ...{ listen: { http, postgres: '0.0.0.0:6432', health: null }, httpsOnly: tls, scheme: schemeOf(domain, tls) },
  };
}

t.test('a login link leads to where browsers reach the gateway', async (t) => {
  t.equal(addressOf('localhost', '127.0.0.1:8080', false), 'http://localhost:8080');
  t.equal(addressOf('gw.localhost', '127.0.0.1:80', false), 'http://gw.localhost');
  t.equal(addressOf('gw.example.com', '[::]:8443', true), 'https://gw.example.com:8443');
  t.equal(addressOf('gw.example.com', '0.0.0.0:443', true), 'https://gw.example.com');
  t.equal(addressOf('gw.example.com', '127.0.0.1:8080', false), 'https://gw.example.com', 'a proxy speaks TLS');
  t.equal(addressOf('localhost.example.com', '127.0.0.1:8080', false), 'https://localhost.example.com');
});

t.test('lines to paste lead to where clients reach the gateway, not to where it listens', async (t) => {
  const grant = { service: 'orders', principal: 'alice', handle: 'dp_x' };
  const lines = (protocol: string, status: GatewayStatus) => connectHints(protocol, grant, status).join();
  const here = statusOf('gw.example.com', '127.0.0.1:8080', false);
  t.match(lines('http', here), / https:\/\/orders\.gw\.example\.com\/$/, 'through the proxy that speaks TLS');
  t.match(lines('postgres', here), /"host=127\.0\.0\.1 port=6432 /);
  const outside = { url: 'https://gw.example.com:8443', postgres: { host: 'gw.example.com', port: 15_432 } };
  const told = { ...here, public: outside };
  t.match(lines('http', told), / https:\/\/orders\.gw\.example\.com:8443\/$/);
  t.match(lines('postgres', told), /"host=gw\.example\.com port=15432 /);
  t.equal(gatewayAddress(told), outside.url);
});
