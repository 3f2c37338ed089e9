import { spawn } from 'node:child_process';

/**
 * Ends a server when this test process dies in whatever way, SIGKILL by a runner's time limit included: a shell waits on a
 * pipe that only we hold, and acts when it closes.
 * @param signal what the server is ended by
 * @param folder removed afterwards, two seconds later
 * @returns stops watching
 */
export function endWithUs(pid: number, signal: 'KILL' | 'QUIT', folder?: string): () => void {
  const act = `kill -${signal} ${pid}; kill -CONT ${pid}${folder ? '; sleep 2; rm -rf -- "$0"' : ''}`;
  const shell = spawn('/bin/sh', ['-c', `read -r line; [ "$line" = done ] || { ${act}; }`, folder ?? 'sh'], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  shell.unref();
  const pipe = shell.stdin;
  pipe.on('error', () => {}); // the shell may be gone already
  if ('unref' in pipe && typeof pipe.unref === 'function') pipe.unref();
  return () => void pipe.end('done\n');
}
