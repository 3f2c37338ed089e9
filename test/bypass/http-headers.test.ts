import t from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

const INJECTED = { authorization: 'Bearer injected', 'x-api-key': 'k-injected', 'x-team_name': 'payments' };

t.test('A3: a client neither sets nor removes an injected header, in any spelling', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, headers: INJECTED, roles: { viewer: ['GET /**'] } } });
  const { handle } = gateway.issue('web');
  const hostile = [
    'Connection: close, x-api-key, authorization, x-forwarded-for, X-Team_Name',
    `Authorization: Bearer ${handle}`,
    'X-Api-Key: evil',
    'X_Api_Key: evil',
    'x-api_key: evil',
    'X-Team-Name: evil',
    'x_team_name: evil',
    'Daypass-Assertion: evil',
    'daypass_assertion: evil',
    'DAYPASS-Anything: evil',
    'X-Forwarded-For: 9.9.9.9',
    'X_Forwarded_For: 9.9.9.9',
    'X-Forwarded-Host: evil.test',
    'X-Forwarded-Proto: https',
    'X-Forwarded-User: root',
    'Forwarded: for=9.9.9.9',
    'X-Real-IP: 9.9.9.9',
    'Proxy-Authorization: Basic eA==',
    'Keep-Alive: timeout=5',
    'TE: trailers',
    '__proto__: evil-proto',
    'X-Mine: kept',
  ];
  const answer = await raw(t, gateway.port, `GET / HTTP/1.1\r\nHost: web.localhost\r\n${hostile.join('\r\n')}\r\n\r\n`)
    .ended;
  t.match(answer, /^HTTP\/1\.1 200 /);
  const headers = echo.requests[0]?.headers ?? [];
  const values = (name: string) => headers.filter(([other]) => other === name).map(([, value]) => value);
  t.same(values('authorization'), ['Bearer injected']);
  t.same(values('x-api-key'), ['k-injected']);
  t.same(values('x-team_name'), ['payments']);
  t.same(values('x-forwarded-for'), ['127.0.0.1']);
  t.same(values('x-forwarded-proto'), ['http']);
  t.same(values('x-forwarded-host'), ['web.localhost']);
  t.same(values('x-mine'), ['kept']);
  t.same(values('host'), [`127.0.0.1:${echo.port}`]);
  t.same(
    headers.filter(([, value]) => value === 'evil' || value.includes('9.9.9.9')),
    [],
  );
  t.equal(values('daypass-assertion').length, 1);
  // Without the assertion's own letters, which are as good as random and may spell anything.
  const bytes = (echo.connections[0]?.bytes ?? '').replace(values('daypass-assertion')[0]?.slice(2) ?? '', '');
  t.notMatch(bytes, /daypass[-_]a(?!ssertion: ey\r)|daypass-handle|dp_|proxy-authorization|^te:|^forwarded|root/im);
});

t.test('A4: no client says to a service who it is, where it comes from or which proxy to use', async (t) => {
  const echo = await startEcho(t);
  const headers = { 'impersonate-user': 'injected' };
  const gateway = await startGateway(t, { web: { url: echo.url, headers, roles: { viewer: ['GET /**'] } } });
  const names = [
    ...['Impersonate-User', 'Impersonate-Group', 'Impersonate-Extra-scopes', 'Impersonate_Uid'],
    ...['Remote-User', 'Remote_User', 'Remote-Groups', 'X-Remote-User', 'X-Remote-Group', 'X-Remote-Extra-a'],
    ...['Proxy', 'PROXY', 'True-Client-IP', 'X-Real-IP', 'X_Real_IP', 'X-Client-IP', 'CF-Connecting-IP'],
    ...['X-Envoy-External-Address', 'X-Envoy-Original-Path', 'X-Original-URL', 'X-Original-Method', 'X_Original_Uri'],
    ...['X-Rewrite-URL', 'X-Rewrite-Path', 'X-Auth-Request-User', 'X_Auth_Request_Email', 'X-Authenticated-User'],
    ...['X-Authenticated-Userid', 'X-WEBAUTH-USER', 'X-Goog-Authenticated-User-Email', 'X-Ms-Client-Principal'],
    ...['X-authentik-username', 'X_Authentik_Groups', 'X-Pomerium-Claim-Email', 'X-Vouch-User', 'X-Consumer-Username'],
    ...['X-Streamlit-User', 'kubeflow-userid', 'iv-user', 'IV_GROUPS', 'SM_USER', 'OAM_REMOTE_USER', 'Osso-User-Dn'],
    ...['X-Proxy-User', 'X-Proxy-Roles', 'X-Token-User-Email', 'X_Token_Subject', 'Shib-Session-ID', 'Shib_Identity'],
    ...[
      'Script-Name',
      'Path-Info',
      'X_Script_Name',
      'X-Sendfile-Type',
      'X-Host',
      'X-Forwarded',
      'Forwarded-For',
      'Via',
    ],
    ...['Client-IP', 'Client-Cert', 'Client-Cert-Chain', 'X-Client-Cert', 'X-Client-DN', 'X-Client-Verify'],
    ...[
      'X-Cluster-Client-IP',
      'Fastly-Client-IP',
      'iv-creds',
      'SM_UNIVERSALID',
      'Osso-User-Guid',
      'X-Consumer-Custom-ID',
    ],
    ...[
      'X-Goog-IAP-JWT-Assertion',
      'X-Endpoint-API-UserInfo',
      'X-Amzn-Oidc-Data',
      'X-Accel-Redirect',
      'OIDC_CLAIM_sub',
    ],
    ...['Cf-Access-Jwt-Assertion', 'Tailscale-User-Login', 'SSL_CLIENT_VERIFY', 'X-SSL-Client-S-DN', '$WSRU'],
    ...['WL-Proxy-Client-Cert'],
    ...['X-Consumer-Groups', 'X-Amzn-Mtls-Clientcert-Subject', 'X-MS-TOKEN-AAD-ID-TOKEN', 'X-Apigateway-Api-Userinfo'],
    ...[
      'Content_Length',
      'Transfer_Encoding',
      'Content_Type',
      'User_Agent',
      'Accept_Encoding',
      'If_Match',
      'Sec_Fetch_Site',
    ],
  ];
  const lines = names.map((name) => `${name}: evil\r\n`).join('');
  const { handle } = gateway.issue('web');
  const answer = await raw(
    t,
    gateway.port,
    `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n${lines}User_Id: kept\r\n\r\n`,
  ).ended;
  t.match(answer, /^HTTP\/1\.1 200 /);
  const got = echo.requests[0]?.headers ?? [];
  t.same(
    got.filter(([, value]) => value === 'evil'),
    [],
  );
  t.match(
    got.filter(([name]) => name === 'impersonate-user'),
    [['impersonate-user', 'injected']],
  );
  t.ok(got.some(([name, value]) => name === 'user_id' && value === 'kept'));
});

t.test('A3: no client chooses as whom the account of the gateway acts', async (t) => {
  const echo = await startEcho(t);
  const headers = { authorization: 'token of an administrator', 'api-username': 'injected' };
  const gateway = await startGateway(t, { web: { url: echo.url, headers, roles: { viewer: ['GET /**'] } } });
  const names = [
    ...['Sudo', 'SUDO', 'Sudo-Email', 'X-Redmine-Switch-User', 'X_Redmine_Switch_User', 'Api-Username', 'Api_Username'],
    ...['X-Gerrit-RunAs', 'es-security-runas-user', 'opensearch_security_impersonate_as', 'X-OpenIDM-RunAs'],
    ...['opendistro_security_impersonate_as', 'X-Auth-CouchDB-UserName', 'X-Auth-CouchDB-Roles', 'X-On-Behalf-Of'],
    ...['X-Trino-User', 'X-Presto-User', 'X-Trino-Original-User', 'X-ProxiedEntitiesChain', 'MSCRMCallerID', 'From'],
    ...[
      'CallerObjectId',
      'X-ProxiedEntityGroups',
      'X-Appwrite-Impersonate-User-Id',
      'Impersonate-Group',
      'On-Behalf-Of',
      'X_Run_As',
      'RunAs',
    ],
    ...['Grpc-Metadata-Authorization', 'grpc_metadata_authorization', 'Grpc-Metadata-Grpcgateway-Authorization'],
    ...['Grpc-Metadata-X-Forwarded-User', 'Grpc-Metadata-Api-Username', 'Grpc-Metadata-Impersonate-User'],
  ];
  const lines = names.map((name) => `${name}: evil\r\n`).join('');
  const { handle } = gateway.issue('web');
  const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n`;
  t.match(
    await raw(t, gateway.port, `${head}${lines}Grpc-Metadata-Tenant: kept\r\nX-From: kept\r\n\r\n`).ended,
    /^HTTP\/1\.1 200 /,
  );
  const got = echo.requests[0]?.headers ?? [];
  t.same(
    got.filter(([, value]) => value === 'evil'),
    [],
  );
  t.ok(got.some(([name, value]) => name.toLowerCase() === 'grpc-metadata-tenant' && value === 'kept'));
  t.ok(got.some(([name, value]) => name.toLowerCase() === 'x-from' && value === 'kept'));
  t.ok(got.some(([name, value]) => name === 'api-username' && value === 'injected'));
});

t.test('A3: a condition on a header holds for every spelling that a service takes for it', async (t) => {
  const echo = await startEcho(t);
  const rule = { route: 'GET /**', headers: { 'x-tenant': 'a' } };
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: [rule] } } });
  const { handle } = gateway.issue('web');
  const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\nX-Tenant: a\r\n`;
  t.match(await raw(t, gateway.port, `${head}\r\n`).ended, /^HTTP\/1\.1 200 /);
  t.match(await raw(t, gateway.port, `${head}Grpc-Metadata-X-Tenant: b\r\n\r\n`).ended, /^HTTP\/1\.1 40[03] /);
  t.equal(echo.requests.length, 1);
});

t.test('A16: a handle in a URL is refused with a hint, and stands nowhere', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**', 'WS /**'] } } });
  const { handle } = gateway.issue('web');
  const escaped = [...handle].map((character) => `%${character.charCodeAt(0).toString(16)}`).join('');
  const websocket =
    'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade';
  for (const target of [`/x?h=${handle}`, `/${handle}/x`, `/x?h=${escaped}`, `/x?h=%64${handle.slice(1)}`]) {
    for (const connection of ['Connection: close', websocket]) {
      const head = `GET ${target} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\n${connection}\r\n\r\n`;
      const answer = await raw(t, gateway.port, head).ended;
      t.match(answer, /^HTTP\/1\.1 400 [\s\S]*"rule":"no handle in a URL"[\s\S]*Authorization: Bearer/);
      t.notOk(answer.includes(handle.slice(-43)));
    }
  }
  t.same([echo.requests, await gateway.events()], [[], []], 'neither forwarded nor recorded');
  t.notOk(gateway.lines.join('').includes(handle.slice(-43)));
  t.notOk(gateway.lines.join('').includes(escaped.slice(-43)));
});

t.test('A3: the Connection list of a client takes away its own headers only, and no framing', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, headers: INJECTED, roles: { viewer: ['POST /**'] } } });
  const { handle } = gateway.issue('web');
  const whole = ['Content-Length: 5', 'Content-Type: text/csv', 'Content-Encoding: br', 'Content-Range: bytes 0-4/5'];
  const listed = `close, x-mine, x-api-key, content-length, content-type, content-encoding, content-range`;
  const head = `POST / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: ${listed}\r\nX-Mine: gone\r\n`;
  t.match(await raw(t, gateway.port, `${head}${whole.join('\r\n')}\r\n\r\nhello`).ended, /^HTTP\/1\.1 200 /);
  const got = (echo.requests[0]?.headers ?? []).map(([name, value]) => `${name}: ${value}`.toLowerCase());
  t.ok(
    whole.every((line) => got.includes(line.toLowerCase())),
    'and nothing of what says how to read the body',
  );
  t.match(echo.requests[0], { body: 'hello' });
  t.notMatch(echo.connections[0]?.bytes ?? '', /gone/);
  t.match(echo.connections[0]?.bytes ?? '', /x-api-key: k-injected/);
});

t.test('a service cannot speak in the name of the gateway, nor break its framing', async (t) => {
  const echo = await startEcho(t, (_req, res) => {
    res.writeHead(200, {
      'Daypass-Expires': 'never',
      Connection: 'x-inner',
      'X-Inner': 'hidden',
      'Set-Cookie': ['a=1', 'b=2'],
    });
    res.end('ok');
  });
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  const { handle } = gateway.issue('web');
  const answer = await raw(
    t,
    gateway.port,
    `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`,
  ).ended;
  t.notMatch(answer, /never|hidden/);
  t.match(answer, /Set-Cookie: a=1\r\n/);
  t.match(answer, /Set-Cookie: b=2\r\n/);
  t.equal(answer.match(/daypass-expires/gi)?.length, 1);
});

t.test('a service reaches no sibling with its cookies, and leads nobody past the gateway', async (t) => {
  const locations: Record<string, string> = {
    '/own': 'ORIGIN/base/orders?x=1#y',
    '/root': 'ORIGIN/base',
    '/relative': '../x',
    '/elsewhere': 'https://other.test/x',
    '/outside': 'ORIGIN/other',
    '/double': 'ORIGIN/base//evil.test/x',
  };
  let origin = '';
  const echo = await startEcho(t, (req, res) => {
    res.setHeader('Alt-Svc', 'h3="evil.test:443"');
    res.setHeader('Set-Cookie', [
      'a=1; Domain=localhost; Path=/',
      'b=2;domain=.localhost;Secure',
      'c=3; DOMAIN',
      'd=domain=x',
    ]);
    res.setHeader('Set-Cookie2', 'e=5; Domain=localhost; Version=1');
    const location = locations[(req.url ?? '').replace('/base', '')] ?? '';
    res.writeHead(302, { Location: location.replace('ORIGIN', origin) });
    res.end();
  });
  origin = echo.url;
  const gateway = await startGateway(t, { web: { url: `${echo.url}/base`, roles: { viewer: ['GET /**'] } } });
  const { handle } = gateway.issue('web');
  const ask = (path: string) =>
    raw(
      t,
      gateway.port,
      `GET ${path} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`,
    ).ended;
  const answer = await ask('/own');
  t.notMatch(answer, /alt-svc/i);
  t.same(
    [...answer.matchAll(/^Set-Cookie: (.*)\r$/gim)].map(([, value]) => value),
    ['a=1; Path=/', 'b=2;Secure', 'c=3', 'd=domain=x'],
  );
  t.match(answer, /^Set-Cookie2: e=5; Version=1\r$/im);
  const expected: Record<string, string> = {
    '/own': '/orders?x=1#y',
    '/root': '/',
    '/relative': '../x',
    '/elsewhere': 'https://other.test/x',
    '/outside': `${origin}/other`,
    '/double': `${origin}/base//evil.test/x`,
  };
  for (const [path, location] of Object.entries(expected))
    t.equal(/^Location: (.*)\r$/im.exec(await ask(path))?.[1], location, path);
});

t.test('A16, D27: no handle and no credential stands in record, log, answer or upstream request', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, {
    web: { url: echo.url, headers: INJECTED, roles: { viewer: ['GET /**', 'POST /**'] } },
  });
  const { handle } = gateway.issue('web');
  const secret = handle.slice(-43);
  const send = (request: string) => raw(t, gateway.port, request).ended;
  const head = `Host: web.localhost\r\nDaypass-Handle: ${handle}\r\nCookie: sid=canary-cookie\r\nX-Auth-Token: canary-token\r\nConnection: close\r\n`;
  const answers = [
    await send(`GET /x?handle=${handle}&password=canary-query HTTP/1.1\r\n${head}\r\n`),
    await send(`GET //x?password=canary-query HTTP/1.1\r\n${head}\r\n`),
    await send(
      `POST /x HTTP/1.1\r\n${head}Content-Type: application/json\r\nContent-Length: 40\r\n\r\n{"user":"alice","password":"canary-json"}`,
    ),
    await send(
      `POST /x HTTP/1.1\r\n${head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 26\r\n\r\na=1&client_secret=canary-f`,
    ),
  ];
  const events = JSON.stringify(await gateway.events());
  t.match(events, /alice/, 'the record is not empty');
  for (const canary of [
    'canary-cookie',
    'canary-token',
    'canary-query',
    'canary-json',
    'canary-f',
    secret,
    'k-injected',
  ]) {
    t.notOk(events.includes(canary), `${canary.slice(0, 12)} is not recorded`);
    t.notOk(gateway.lines.join('').includes(canary), 'nor logged');
  }
  t.notOk(answers.join('').includes('k-injected'));
  const forwarded = echo.connections.map(({ bytes }) => bytes.replace(/handle=dp_\S+/g, '')).join('');
  t.notOk(forwarded.includes(secret));
});

t.test("A16: no service worker hears of the gateway's own addresses at a service", async (t) => {
  const echo = await startEcho(t, (_req, res) => res.setHeader('Service-Worker-Allowed', '/').end('self.x = 1'));
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } });
  const { handle } = gateway.issue('web');
  const ask = (path: string) =>
    raw(
      t,
      gateway.port,
      `GET ${path} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nService-Worker: script\r\nConnection: close\r\n\r\n`,
    ).ended;
  for (const path of ['/worker.js', '/', '/worker.js?v=/app/', '/%77orker.js'])
    t.match(await ask(path), /^HTTP\/1\.1 403 [\s\S]*no service worker over/, path);
  t.equal(echo.requests.length, 0);
  const below = await ask('/app/worker.js');
  t.match(below, /^HTTP\/1\.1 200 /);
  t.notMatch(below, /service-worker-allowed/i, 'and its answer widens nothing');
});
