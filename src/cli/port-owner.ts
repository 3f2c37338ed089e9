import { readFile } from 'node:fs/promises';
import { isIPv4, type Socket } from 'node:net';
import { endianness } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** Finds out which account of this machine is at the other end of a connection; null when it cannot be told. */
export type OwnerOf = (socket: Socket) => Promise<number | null>;

/** A row of the kernel's table of TCP connections (proc_pid_net(5)). */
interface Row {
  readonly uid: number;
  readonly inode: string;
}

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];
const ESTABLISHED = '01';
/** How long the first look may have come too early, milliseconds. */
const AGAIN_AFTER = 20;

/**
 * The account that a connection on loopback comes from, where the system says so: Linux. A connection that its client has given up already
 * belongs to nobody any more and would be told as root's. So a row counts only if, looked at twice, it is the same socket of somebody:
 * given up once, it stays so.
 */
export const ownerOf: OwnerOf | null =
  process.platform !== 'linux'
    ? null
    : async (socket) => {
        const from = endOf(socket.remoteAddress, socket.remotePort);
        const to = endOf(socket.localAddress, socket.localPort);
        if (from === null || to === null) return null;
        const first = (await rowOf(from, to)) ?? (await sleep(AGAIN_AFTER).then(() => rowOf(from, to)));
        const second = first && (await rowOf(from, to));
        return first !== null && second?.inode === first.inode && second.uid === first.uid ? first.uid : null;
      };

/** An end of a connection in both tables' words. */
interface End {
  readonly four: string;
  readonly six: string;
}

/** Addresses are four bytes each in the order of the machine, ports are not. */
function endOf(address: string | undefined, port: number | undefined): End | null {
  const plain = address?.replace(/^::ffff:/, '');
  if (plain === undefined || port === undefined || !isIPv4(plain)) return null;
  const bytes = plain.split('.').map(Number);
  const word = (of: number[]) => hex(endianness() === 'LE' ? of.reverse() : of);
  const at = `:${hex([port >> 8, port & 255])}`;
  const four = word([...bytes]);
  return { four: four + at, six: `${'0'.repeat(16)}${word([0, 0, 255, 255])}${four}${at}` };
}

function hex(bytes: readonly number[]): string {
  return bytes
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
    .toUpperCase();
}

async function rowOf(from: End, to: End): Promise<Row | null> {
  for (const table of TABLES) {
    const text = await readFile(table, 'latin1').catch(() => '');
    const found = table.endsWith('6') ? find(text, from.six, to.six) : find(text, from.four, to.four);
    if (found !== null) return found;
  }
  return null;
}

function find(table: string, from: string, to: string): Row | null {
  const line = table.split('\n').find((one) => one.includes(`: ${from} ${to} ${ESTABLISHED} `));
  const [uid = '', , inode = '0'] = line?.trim().split(/\s+/).slice(7) ?? [];
  return /^\d+$/.test(uid) && inode !== '0' ? { uid: Number(uid), inode } : null;
}
