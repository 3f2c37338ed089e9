import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { DaypassError } from '../errors.js';

/** Waits for a browser on this machine to bring a code (RFC 8252 section 7.3). */
export interface Loopback {
  readonly port: number;
  /**
   * The code that came with the right state; anything else that comes is sent away.
   * @throws DaypassError `wrong_account`, `refused`, `login_timeout`
   */
  readonly code: Promise<string>;
  close(): void;
}

/** @param within - how long a person may take, milliseconds */
export async function listenForCode(state: string, within: number): Promise<Loopback> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  const code = new Promise<string>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new DaypassError('login_timeout', 'Nobody confirmed the login in the browser in time.')),
      within,
    );
    server.on('request', (req, res) => {
      const query = queryFor(req, port, state);
      if (query === null) return say(res, 400, 'This is not what Daypass waits for.');
      clearTimeout(timer);
      const [code, error] = [query.get('code'), query.get('error')];
      if (code !== null && error === null) {
        say(res, 200, 'The command line is logged in. You can close this page.');
        return resolve(code);
      }
      say(res, 200, 'The command line is not logged in. It says why.');
      reject(refusalOf(error));
    });
  });
  code.catch(() => {}); // told to whoever awaits it
  return { port, code, close };
}

/** What came, if this browser was led here by our own login: a name that resolves to this machine is another host. */
function queryFor(req: IncomingMessage, port: number, state: string): URLSearchParams | null {
  if (req.method !== 'GET' || req.headers.host !== `127.0.0.1:${port}`) return null;
  const { pathname, searchParams } = new URL(req.url ?? '/', `http://127.0.0.1:${port}`);
  return pathname === '/' && searchParams.get('state') === state ? searchParams : null;
}

function refusalOf(error: string | null): DaypassError {
  if (error === 'wrong_account')
    return new DaypassError('wrong_account', 'The browser is logged in as somebody else.', {
      hint: 'Log out there, log in as whom you named with --as, and run this again.',
    });
  return new DaypassError('refused', 'The login was refused in the browser.');
}

function say(res: ServerResponse, status: number, text: string): void {
  res.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    connection: 'close',
  });
  res.end(`${text}\n`);
}
