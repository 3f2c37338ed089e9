import type { CustomFetchOptions } from 'openid-client';

/** How long the provider may take for one answer, milliseconds. */
export const PROVIDER_LIMIT = 10_000;
/** Longer answers of the provider are not read, bytes. */
const LONGEST = 1_048_576;

/** A request; `openid-client` and `jose` each have a type of their own for it. */
interface Asked {
  readonly method?: string;
  readonly headers?: Headers | Record<string, string>;
  readonly body?: CustomFetchOptions['body'];
  readonly signal?: AbortSignal | undefined;
}

/** One request to the identity provider, which may be slow, silent, or talk without end. Redirects are not followed. */
export async function askProvider(
  url: string,
  { method = 'GET', headers = {}, body, signal }: Asked,
): Promise<Response> {
  const limit = AbortSignal.timeout(PROVIDER_LIMIT);
  const response = await fetch(url, {
    ...{ method, headers, body: body ?? null, redirect: 'manual' },
    signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
  });
  const { status, statusText } = response;
  const answer = await bounded(response);
  return new Response(answer.length === 0 ? null : answer, { status, statusText, headers: response.headers });
}

async function bounded(response: Response): Promise<Buffer<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    length += piece.byteLength;
    if (length > LONGEST) throw new Error(`the provider's answer is longer than ${LONGEST} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
