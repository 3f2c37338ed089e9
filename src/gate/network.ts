import { isIP } from 'node:net';

/**
 * The network an address is in: `192.0.2.0/24`, `2001:db8:1::/48`, or `loopback` for all of this machine's own.
 * @param address - as a socket tells it; an IPv4 address within IPv6 is the IPv4 one
 * @returns null for what is no address
 */
export function networkOf(address: string): string | null {
  const [bare = ''] = address.split('%');
  const kind = isIP(bare);
  if (kind === 4) return networkOfFour(bare);
  return kind === 6 ? networkOfSix(bare) : null;
}

/**
 * Whom an address counts as, where requests are counted by address: an IPv6 /64 is one, since whoever has one address of it has
 * them all.
 * @param address - as a socket tells it
 * @param prefix - how much of an IPv6 address is whose, bits
 */
export function sourceOf(address: string, prefix: 48 | 64 = 64): string {
  const [bare = ''] = address.split('%');
  if (isIP(bare) !== 6) return address;
  const groups = groupsOf(bare);
  if (groups.slice(0, 4).every((group) => group === 0)) return address; // IPv4 within IPv6, or this machine
  return `${groups
    .slice(0, prefix / 16)
    .map((group) => group.toString(16))
    .join(':')}::/${prefix}`;
}

function networkOfFour(address: string): string {
  const [first, second, third] = address.split('.');
  return first === '127' ? 'loopback' : `${first}.${second}.${third}.0/24`;
}

function networkOfSix(address: string): string {
  const groups = groupsOf(address);
  const [first = 0, second = 0, third = 0, , , , high = 0, low = 0] = groups;
  const zeros = groups.slice(0, 5).every((group) => group === 0);
  if (zeros && groups[5] === 0xffff) return networkOfFour([high >> 8, high & 255, low >> 8, low & 255].join('.'));
  if (zeros && groups[5] === 0 && high === 0 && low === 1) return 'loopback';
  const prefix = [first, second, third].map((group) => group.toString(16)).join(':');
  return `${prefix.replace(/(?::0)+$/, '')}::/48`;
}

/** The eight groups of an IPv6 address (RFC 4291 section 2.2). */
function groupsOf(address: string): number[] {
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = '', tail] = plain.split('::');
  const read = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  if (tail === undefined) return read(head);
  const [before, after] = [read(head), read(tail)];
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}
