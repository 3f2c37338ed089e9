import t from 'tap';
import { networkOf, sourceOf } from '../../src/gate/network.js';

t.test('an address is in its IPv4 /24 or its IPv6 /48, and this machine is one network', async (t) => {
  const networks: readonly (readonly [string, string | null])[] = [
    ['192.0.2.1', '192.0.2.0/24'],
    ['192.0.2.254', '192.0.2.0/24'],
    ['192.0.3.1', '192.0.3.0/24'],
    ['::ffff:192.0.2.7', '192.0.2.0/24'],
    ['::ffff:c000:207', '192.0.2.0/24'],
    ['127.0.0.1', 'loopback'],
    ['127.8.9.1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::1', 'loopback'],
    ['2001:db8:1::', '2001:db8:1::/48'],
    ['2001:db8:1:ffff:1:2:3:4', '2001:db8:1::/48'],
    ['2001:DB8:1::7', '2001:db8:1::/48'],
    ['2001:db8::1', '2001:db8::/48'],
    ['2001:db8:2::1', '2001:db8:2::/48'],
    ['64:ff9b::192.0.2.33', '64:ff9b::/48'],
    ['fe80::1%eth0', 'fe80::/48'],
    ['', null],
    ['unknown', null],
    ['127.0.0.1:5432', null],
    ['1.2.3', null],
  ];
  for (const [address, network] of networks) t.equal(networkOf(address), network, address);
});

t.test('whoever has an IPv6 /64 is one client, not as many as it has addresses', async (t) => {
  const sources: readonly (readonly [string, string])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['192.0.2.2', '192.0.2.2'],
    ['::ffff:192.0.2.7', '::ffff:192.0.2.7'],
    ['::1', '::1'],
    ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown'],
  ];
  for (const [address, source] of sources) t.equal(sourceOf(address), source, address);
  t.equal(sourceOf('2001:db8:1:2::1', 48), '2001:db8:1::/48');
  t.equal(sourceOf('192.0.2.1', 48), '192.0.2.1');
});
