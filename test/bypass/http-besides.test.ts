import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

const ORDERS = ['POST /orders/:id', 'GET /public/**', 'PUT /public/**', 'GET /shared/:name', 'POST /folder'];

const ANYTHING = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'WS', 'SSE'].map(
  (method) => `${method} /anything`,
);

/** A service that sees what a role passes on, and what is asked of it. */
async function serviceWith(t: Test, allow: readonly unknown[], basePath = '') {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url + basePath, roles: { viewer: allow } } });
  const { handle } = gateway.issue('web');
  const ask = (line: string, lines = '', body = '') =>
    raw(
      t,
      gateway.port,
      `${line} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`,
    ).ended;
  return { echo, gateway, ask };
}

t.test('A1: what S3 copies by a header has to be readable by its own path', async (t) => {
  const { echo, gateway, ask } = await serviceWith(t, ORDERS);
  const links = ['X-Symlink-Target', 'X_Object_Manifest', 'x-oss-symlink-target'];
  const sources = ['x-amz-copy-source', 'X_Amz_Copy_Source', 'X-Amz-Copy.Source', 'X-Copy-From', 'x-ms-copy-source'];
  for (const name of [...sources, ...links])
    for (const source of ['/private/x', 'private/x', 'private/x?versionId=1', 'http://127.0.0.1/private/x'])
      t.match(await ask('PUT /public/y', `${name}: ${source}\r\n`), /^HTTP\/1\.1 403 [\s\S]*out_of_scope/, name);
  for (const source of ['/public/../private/x', 'public%2F..%2Fprivate%2Fx', '//private/x', '/.daypass/x', ''])
    t.match(await ask('PUT /public/y', `x-amz-copy-source: ${source}\r\n`), /^HTTP\/1\.1 40[03] /, source);
  const copies = 'x-amz-copy-source: /public/x\r\n';
  for (const twice of [
    `${copies}x-amz-copy-source: /private/x\r\n`,
    `${copies}X-Copy-From: /public/x\r\n`,
    copies.repeat(150),
  ])
    t.match(await ask('PUT /public/y', twice), /^HTTP\/1\.1 400 /);
  t.equal(echo.requests.length, 0);
  t.match(
    await ask('PUT /public/y', 'x-amz-copy-source: /public/x\r\nx-amz-copy-source-range: bytes=0-1\r\n'),
    / 200 /,
  );
  t.match(await ask('PUT /public/y', 'x-amz-copy-source: shared/a?versionId=7\r\n'), /^HTTP\/1\.1 200 /);
  const [refused] = (await gateway.events()).filter(({ facts }) => facts.outcome === 'deny');
  t.match(refused?.facts, { rule: 'no rule allows GET /private/x', on: ['/public/y'] });
});

t.test('A1: what is renamed has to be one that may be read and deleted: Azure’s Data Lake, S3', async (t) => {
  const { echo, ask } = await serviceWith(t, [
    ...ORDERS,
    'GET /mine/:name',
    'DELETE /mine/:name',
    'DELETE /unseen/:name',
  ]);
  for (const name of ['x-ms-rename-source', 'x-amz-rename-source', 'X_Ms_File_Rename_Source'])
    for (const source of ['/public/x', '/unseen/x', '/private/x', '/private/x?sig=1'])
      t.match(await ask('PUT /public/y', `${name}: ${source}\r\n`), /^HTTP\/1\.1 403 /, `${name} ${source}`);
  t.equal(echo.requests.length, 0);
  t.match(await ask('PUT /public/y', 'x-ms-rename-source: /mine/x\r\n'), /^HTTP\/1\.1 200 /);
});

t.test('A1: what is copied stands below what the service has before all paths', async (t) => {
  const { echo, ask } = await serviceWith(t, ['GET /**', 'PUT /**'], '/bucket');
  for (const source of ['/private/x', 'private/x', '/bucketful/x', '/bucket', '/bucket/../private/x', '/x'])
    t.match(await ask('PUT /y', `x-amz-copy-source: ${source}\r\n`), /^HTTP\/1\.1 400 /, source);
  t.equal(echo.requests.length, 0);
  t.match(await ask('PUT /y', 'x-amz-copy-source: bucket/x\r\n'), /^HTTP\/1\.1 200 /);
});

t.test(
  'A1: what SeaweedFS is told in a query to copy or move has to be one that may be read, and deleted',
  async (t) => {
    const allow = [...ORDERS, 'POST /public/**', 'GET /mine/:name', 'DELETE /mine/:name'];
    const { echo, ask } = await serviceWith(t, allow);
    for (const query of [
      ...[
        'cp.from=/private/x',
        'mv.from=/private/x',
        'mv.from=/public/x',
        'a=1&%63p.from=%2Fprivate%2Fx',
        'cp.from=/x;cp.from=/mine/x',
      ],
      ...[
        'cp.from=/mine/../private/x',
        'cp.from=/mine/x&cp.from=/private/x',
        'cp.from=/mine/x&mv.from=/mine/x',
        'mv.from=/mine/',
      ],
    ])
      for (const method of ['POST', 'PUT'])
        t.match(await ask(`${method} /public/y?${query}`), /^HTTP\/1\.1 40[03] /, query);
    t.match(await ask('PUT /public/y?cp.from=/mine/x', 'x-amz-copy-source: /mine/x\r\n'), /^HTTP\/1\.1 400 /);
    t.equal(echo.requests.length, 0);
    for (const query of [
      'cp.from=/public/x',
      'mv.from=/mine/x',
      'cp.from=%2Fmine%2Fa%20b',
      'up.from=/private/x',
      'a=cp.from',
    ])
      t.match(await ask(`POST /public/y?${query}`), /^HTTP\/1\.1 200 /, query);
  },
);

t.test('A1: what a registry mounts from another repository has to be readable there', async (t) => {
  const allow = ['GET /v2/mine/**', 'POST /v2/mine/**', 'GET /v2/shared/app/blobs/:digest'];
  const { echo, ask } = await serviceWith(t, allow);
  const line = (repository: string, query: string) => `POST /v2/${repository}/blobs/uploads/?${query}`;
  for (const query of [
    ...[
      'mount=sha256:ab&from=theirs',
      'from=theirs&mount=sha256:ab',
      '%66rom=th%65irs&mount=x',
      'from=mine/../theirs&mount=x',
    ],
    ...['from=mine&mount=x&from=theirs', 'from=mine%2F..%2Ftheirs&mount=x', 'from=&mount=x'],
  ])
    for (const repository of ['mine', 'mine/v2/app'])
      t.match(await ask(line(repository, query)), /^HTTP\/1\.1 40[03] /, query);
  t.equal(echo.requests.length, 0);
  for (const query of [
    'mount=sha256:ab&from=mine/b',
    'mount=sha256:ab&from=shared%2Fapp',
    'mount=sha256:ab',
    'digest=sha256:ab',
  ])
    t.match(await ask(line('mine', query)), /^HTTP\/1\.1 200 /, query);
  const path = `/v2/mine${'/v2/blobs/uploads'.repeat(800)}`;
  t.match(
    await ask(`POST ${path}/x?mount=sha256:ab&from=theirs`),
    /^HTTP\/1\.1 200 /,
    'no upload, however long it looks',
  );
  t.match(await ask(`POST ${path}?mount=sha256:ab&from=theirs`), /^HTTP\/1\.1 403 /);
});

t.test('A1: a method in a query is Restlet’s PUT or DELETE, and has to be allowed as such', async (t) => {
  const { echo, ask } = await serviceWith(t, ORDERS);
  for (const query of [
    'method=DELETE',
    'a=1&method=delete',
    '%6dethod=%44ELETE',
    'method=POST&method=PUT',
    'Method=DELETE',
    '+method%20=%20DELETE',
    'method=GET',
    ...['alf_method=delete', 'ps_method=DELETE', 'ps.method=DELETE', 'ps[method=DELETE', 'ps_method%00x=DELETE'],
    'atg-rest-http-method=PUT',
  ])
    t.match(await ask(`POST /orders/7?${query}`), /^HTTP\/1\.1 403 [\s\S]*does not allow/, query);
  t.equal(echo.requests.length, 0);
  for (const query of ['method=POST', 'method=card', 'method=orders.list', 'payment_method=DELETE', 'a=method'])
    t.match(await ask(`POST /orders/7?${query}`), /^HTTP\/1\.1 200 /, query);
});

t.test('A1: a GET with the method in a query is Pekko’s DELETE, and PrestaShop’s', async (t) => {
  const { echo, ask } = await serviceWith(t, ['GET /orders/:id', 'GET /log', 'POST /log']);
  for (const method of ['GET', 'HEAD'])
    for (const query of ['method=DELETE', 'a=1&%6dethod=%44elete', 'method=POST', 'ps_method=DELETE'])
      t.match(await ask(`${method} /orders/7?${query}`), /^HTTP\/1\.1 403 /, query);
  t.equal(echo.requests.length, 0);
  for (const query of ['method=GET', 'method=HEAD', 'method=list', 'alf_methods=DELETE'])
    t.match(await ask(`GET /orders/7?${query}`), /^HTTP\/1\.1 200 /, query);
  t.match(await ask('GET /log?method=POST'), /^HTTP\/1\.1 200 /, 'what is looked for in a log');
});

t.test('A1: an action that Astro is asked for at any page has to be allowed by its own path', async (t) => {
  const allow = [...ORDERS, 'POST /_actions/orders.retry', 'GET /orders/:id'];
  const { echo, gateway, ask } = await serviceWith(t, allow);
  for (const query of [
    '_action=admin.wipe',
    '_action=admin%2Ewipe',
    'a=1&%5Faction=admin.wipe',
    '_action=../admin',
    '_action=orders.retry&_action=admin.wipe',
    '_action=orders.retry;_action=admin.wipe',
    '_action=orders.retry%2Fx',
    '_astroAction=admin.wipe',
    '_action=orders.retry&_astroAction=admin.wipe',
    '_action=',
  ])
    t.match(await ask(`POST /orders/7?${query}`), /^HTTP\/1\.1 40[03] [\s\S]*asks for more/, query);
  t.equal(echo.requests.length, 0);
  t.match(await ask('POST /orders/7?_action=orders.retry&x=1'), /^HTTP\/1\.1 200 /);
  t.match(await ask('POST /orders/7?a_action=admin.wipe'), /^HTTP\/1\.1 200 /, 'a name of its own');
  t.match(await ask('GET /orders/7?_action=admin.wipe'), /^HTTP\/1\.1 200 /, 'it is asked for by POST alone');
  const actions = (await gateway.events()).filter(({ kind }) => kind === 'action');
  t.same(
    actions.filter(({ facts }) => facts.outcome === 'allow').map(({ facts }) => `${facts.verb} ${facts.on}`),
    ['POST /orders/7', 'POST /_actions/orders.retry', 'POST /orders/7', 'GET /orders/7'],
  );
});

t.test('what is asked for besides is held to the size and the rate of its rule', async (t) => {
  const { ask } = await serviceWith(t, [
    'POST /orders/:id',
    { route: 'PATCH /orders/:id', body: '4KiB' },
    { route: 'DELETE /orders/:id', rate: '1/h' },
  ]);
  const asks = (method: string, size: number) => ask(`POST /orders/7?method=${method}`, '', 'x'.repeat(size));
  t.match(await asks('PATCH', 4096), /^HTTP\/1\.1 200 /);
  t.match(await asks('PATCH', 5000), /^HTTP\/1\.1 413 /);
  t.match(await asks('POST', 5000), /^HTTP\/1\.1 200 /);
  t.match(await asks('DELETE', 1), /^HTTP\/1\.1 200 /);
  t.match(await asks('DELETE', 1), /^HTTP\/1\.1 429 /);
  t.match(await ask('DELETE /orders/7'), /^HTTP\/1\.1 429 /);
  t.match(await asks('POST', 1), /^HTTP\/1\.1 200 /);
});

t.test('A1: no parameter has Zope go on to what is not allowed', async (t) => {
  const { echo, ask } = await serviceWith(t, [...ORDERS, 'GET /folder', 'GET /folder/list']);
  for (const query of [
    ...[
      'secret:method=1',
      'secret%3Amethod',
      'secret:action',
      'secret:default_method',
      'secret:method:int',
      'a:b:action',
    ],
    ...[':method=secret', '%3adefault_action=secret', 'secret:method.x=3', 'x=1&secret:method', 'x=1;secret:method'],
    ...['list:method&secret:method', 'list:method:action', ':method=list&:action=secret'],
    ...['../secret:method', 'list/../secret:method', '/secret:method', ':method=', '%00:method'],
    'list:method&'.repeat(9),
    'list:method;/../../secret/p:method',
    'x=1;list:method',
    ...['x%3D/../../secret:method=1', 'x%3dsecret:action', 'x%3D%2Fsecret%3Amethod'],
  ])
    for (const path of ['/folder', '/folder?a=1&'])
      t.match(await ask(`GET ${path.replace(/^\/folder$/, '/folder?')}${query}`), /^HTTP\/1\.1 40[03] /, query);
  t.equal(echo.requests.length, 0);
  for (const query of ['list:method=1', ':action=list', 'a:int=1', 'a:methods=1', 'http.method:GET', 'x=:method'])
    t.match(await ask(`GET /folder?${query}`), /^HTTP\/1\.1 200 /, query);
});

t.test('A1: where Zope goes on to is nobody’s to say in another character set', async (t) => {
  const { echo, ask } = await serviceWith(t, ['GET /folder/**']);
  for (const query of [':method:utf-7=%2BAC4ALg-/secret', ':action:int:utf-7=%2BAC4ALg-/secret', ':method:utf_7.x=a'])
    t.match(await ask(`GET /folder?${query}`), /^HTTP\/1\.1 400 /, query);
  t.equal(echo.requests.length, 0);
  for (const query of [':method=list', 'list:method:utf-7=%2BAC4ALg-/secret', 'a:utf-7=%2BAC4ALg-'])
    t.match(await ask(`GET /folder?${query}`), /^HTTP\/1\.1 200 /, query);
});

t.test('A1: where Zope goes on to, a rule is met by the parameters that it goes on with', async (t) => {
  const list = {
    route: 'GET /folder/list',
    query: { all: { absent: true }, kind: { one_of: ['book'], optional: true } },
  };
  const { echo, gateway, ask } = await serviceWith(t, ['GET /folder', list]);
  for (const query of ['all=1&list:method', 'list:method&kind=film', '%61ll:int=1&list:method', 'x=1&:action=list&all'])
    t.match(await ask(`GET /folder?${query}`), /^HTTP\/1\.1 40[03] /, query);
  t.equal(echo.requests.length, 0);
  t.match(await ask('GET /folder?kind=book&list:method=1&a=%20'), /^HTTP\/1\.1 200 /);
  const [, further] = (await gateway.events()).filter(({ facts }) => facts.outcome === 'allow');
  t.equal(further?.payload?.text, 'GET /folder/list?kind=book&a=%20');
});

t.test(
  'A1: a path in a query is where SvelteKit and CodeIgniter go on to, and has to be allowed as such',
  async (t) => {
    const shut = { route: 'POST /orders/:id/shut', query: { now: { absent: true } } };
    const allow = [...ORDERS, 'GET /', 'POST /orders/:id/retry', 'GET /index.php', 'GET /public/:name', shut];
    const { echo, gateway, ask } = await serviceWith(t, allow);
    for (const [line, ...queries] of [
      [
        'POST /orders/7',
        '/delete',
        '%2Fdelete',
        '/%64elete',
        'a=1&/delete',
        '/delete&a=1',
        '/retry&/delete',
        '/delete&/retry',
      ],
      [
        'POST /orders/7',
        '/retry=1',
        '/retry;/delete',
        'a;/delete',
        '/',
        '/retry/',
        '/../8/retry',
        '//retry',
        '/shut&now=1',
        '/retry%3D',
        '/%3D',
      ],
      [
        'GET /',
        '/admin/users',
        '/admin/users?a=1',
        '/public/../admin',
        '/public/x?/admin',
        '/public/x%3F/admin',
        '/admin&a=1',
      ],
      ['GET /index.php', '/admin/users', '/public/x'],
    ] as const)
      for (const query of queries) t.match(await ask(`${line}?${query}`), /^HTTP\/1\.1 40[03] /, `${line}?${query}`);
    t.equal(echo.requests.length, 0);
    for (const line of [
      'POST /orders/7?/retry',
      'POST /orders/7?a=%2Fdelete&b=/x',
      'GET /?/public/x',
      'GET /?/',
      'GET /?a/b',
    ])
      t.match(await ask(line), /^HTTP\/1\.1 200 /, line);
    const [first, second] = (await gateway.events()).filter(({ facts }) => facts.outcome === 'allow');
    t.match(second?.facts, { verb: 'POST', on: ['/orders/7/retry'], rule: 'POST /orders/:id/retry', of: first?.seq });
  },
);

t.test('A1: of several paths in a query each has to be allowed, as many as Liferay’s pages put together', async (t) => {
  const { echo, gateway, ask } = await serviceWith(t, ['GET /combo', 'GET /combo/o/**']);
  const files = Array.from({ length: 200 }, (_, at) => `/o/module-${at}/a.js`);
  const [first] = files;
  for (const query of [
    `${first}&/admin/x.js`,
    `/admin/x.js&${first}`,
    `${files.join('&')}&/o/more.js`,
    `${first}&/o/../../admin`,
    `${first};/o/b.js`,
    `${first}&/o/b.js=1`,
    `${first}&/o/b.js?x`,
    // Recorded with each, a request of 14 KB would be 2 MB of the record.
    `more=${'x'.repeat(10_000)}&${files.join('&')}`,
  ])
    t.match(await ask(`GET /combo?t=1&${query}`), /^HTTP\/1\.1 40[03] /, query.slice(0, 40));
  t.equal(echo.requests.length, 0);
  t.match(await ask(`GET /combo?browserId=other&t=1&${files.join('&')}`), /^HTTP\/1\.1 200 /);
  const passed = (await gateway.events()).filter(({ facts }) => facts.outcome === 'allow');
  t.equal(passed.length, 201);
  t.match(passed[200], {
    facts: { on: ['/combo/o/module-199/a.js'] },
    payload: { text: /a\.js\?browserId=other&t=1$/ },
  });
});

t.test('A1: several paths in a query behind a long one would be read, and recorded, for seconds', async (t) => {
  const { echo, gateway, ask } = await serviceWith(t, ['GET /**']);
  const path = '/%C3%A9'.repeat(1_900);
  const names = Array.from({ length: 200 }, (_, at) => `/${at}`);
  const methods = Array.from({ length: 8 }, (_, at) => `${at}:method=`);
  for (const query of [names.join('&'), names.slice(0, 2).join('&'), methods.join('&')])
    t.match(await ask(`GET ${path}?${query}`), /^HTTP\/1\.1 400 [\s\S]*several others/, query.slice(0, 20));
  t.equal(echo.requests.length, 0);
  t.equal((await gateway.events()).filter(({ kind }) => kind === 'action').length, 3);
  t.match(await ask(`GET ${path}?/delete`), /^HTTP\/1\.1 200 /, 'one is one more');
});

t.test(
  'A1: POST of a document with its id in the query is Elasticsearch’s PUT, and has to be allowed as such',
  async (t) => {
    const { echo, ask } = await serviceWith(t, ['POST /orders/_doc', 'PUT /orders/_doc/9', 'POST /orders/:word']);
    for (const query of [
      'id=7',
      'id=7&op_type=index',
      'a=1&%69d=%37',
      'id=9&id=7',
      'id=9;id=7',
      'id=',
      'id',
      'id=../_doc/9',
    ])
      for (const path of ['/orders/_doc', '/orders/%5Fdoc'])
        t.match(await ask(`POST ${path}?${query}`), /^HTTP\/1\.1 40[03] /, query);
    t.equal(echo.requests.length, 0);
    for (const line of [
      '/orders/_doc?id=9',
      '/orders/_doc?refresh=true',
      '/orders/_doc',
      '/orders/7?id=7',
      '/orders/_doc?ids=7',
    ])
      t.match(await ask(`POST ${line}`), /^HTTP\/1\.1 200 /, line);
  },
);

t.test('A1: what a header asks for in place of the method has to be allowed: Icinga, Payload', async (t) => {
  const { echo, gateway, ask } = await serviceWith(t, [...ORDERS, 'POST /public/**', ...ANYTHING]);
  for (const name of ['X-HTTP-Method-Override', 'X-Payload-HTTP-Method-Override', 'x_method_override', 'X-HTTP-Method'])
    for (const line of [
      `${name}: GET`,
      `${name}: get`,
      `${name}: `,
      `${name}: POST, GET`,
      `${name}: POST\r\n${name}: GET`,
    ])
      t.match(await ask('POST /orders/7', `${line}\r\n`), /^HTTP\/1\.1 403 [\s\S]*does not allow/, line);
  t.equal(echo.requests.length, 0);
  for (const word of ['MOVE', 'WS', 'SSE', '', 'GET, GET'])
    t.match(await ask('POST /anything', `X-HTTP-Method-Override: ${word}\r\n`), /^HTTP\/1\.1 403 /, word);
  t.equal(echo.requests.length, 0);
  t.match(await ask('POST /public/posts', 'X-HTTP-Method-Override: GET\r\n'), /^HTTP\/1\.1 200 /);
  t.match(await ask('POST /orders/7', 'X-HTTP-Method-Override: POST\r\n'), /^HTTP\/1\.1 200 /);
  t.match(Object.fromEntries(echo.requests[0]?.headers ?? []), { 'x-http-method-override': 'GET' });
  const actions = (await gateway.events()).filter(({ kind, facts }) => kind === 'action' && facts.outcome === 'allow');
  t.match(
    actions.map(({ facts }) => facts),
    [
      { verb: 'POST', on: ['/public/posts'], rule: 'POST /public/**' },
      { verb: 'GET', on: ['/public/posts'], rule: 'GET /public/**', of: actions[0]?.seq },
      { verb: 'POST', on: ['/orders/7'] },
    ],
    'each stands in the record',
  );
});

t.test('what is asked for in several ways at once is refused, and decided on as a whole in the record', async (t) => {
  const allow = [...ORDERS, 'GET /folder', 'GET /folder/list', 'PUT /folder', 'POST /folder/list'];
  const { echo, gateway, ask } = await serviceWith(t, allow);
  const get = 'X-HTTP-Method-Override: GET\r\n';
  for (const [line, lines] of [
    ['PUT /public/y', `x-amz-copy-source: /public/x\r\n${get}`],
    ['POST /folder?list:method', 'X-HTTP-Method-Override: PUT\r\n'],
    ['POST /folder?list:method&method=PUT', ''],
  ] as const)
    t.match(await ask(line, lines), /^HTTP\/1\.1 400 [\s\S]*several/, line);
  t.equal(echo.requests.length, 0);
  t.match(await ask('PUT /public/y', 'x-amz-copy-source: /public/x?list:method&method=PUT\r\n'), /^HTTP\/1\.1 200 /);
  const actions = (await gateway.events()).filter(({ kind }) => kind === 'action');
  t.same(
    actions.map(({ facts }) => facts.outcome),
    ['deny', 'deny', 'deny', 'allow', 'allow'],
  );
});

t.test('a header that does not reach the service asks for nothing', async (t) => {
  const { echo, gateway, ask } = await serviceWith(t, ORDERS);
  const deletes = 'X-HTTP-Method-Override: DELETE\r\n';
  t.match(await ask('POST /orders/7', `Connection: x-http-method-override\r\n${deletes}`), /^HTTP\/1\.1 200 /);
  t.match(await ask('POST /orders/7', 'X-Original-HTTP-Method: DELETE\r\n'), /^HTTP\/1\.1 200 /);
  for (const [, ...names] of echo.requests.map(({ headers }) => headers.map(([name]) => name.toLowerCase())))
    t.notMatch(names.join(), /method/);
  t.match(await ask('POST /orders/7', `Connection: x_http_method_override\r\n${deletes}`), /^HTTP\/1\.1 403 /);
  t.match(await ask('POST /orders/7', `Grpc-Metadata-${deletes}`), /^HTTP\/1\.1 403 /);
  const actions = (await gateway.events()).filter(({ kind }) => kind === 'action');
  t.equal(actions.length, 4);
});

t.test('A1: where an event stream alone may be had, nothing else is by another way to ask', async (t) => {
  const { echo, ask } = await serviceWith(t, ['POST /events', 'PUT /events', 'SSE /events']);
  const stream = 'Accept: text/event-stream;q=0, application/json\r\n';
  const form = 'Content-Type: application/x-www-form-urlencoded\r\n';
  for (const [line, lines] of [
    ['POST /events', 'X-HTTP-Method-Override: GET\r\n'],
    ['POST /events?method=GET', ''],
    ['PUT /events', 'x-amz-copy-source: /events\r\n'],
  ] as const)
    t.match(await ask(line, stream + lines), /^HTTP\/1\.1 403 [\s\S]*by itself/, `${line} ${lines}`);
  t.equal(echo.requests.length, 0);
  t.match(await ask('POST /events', stream + form, '_method=GET'), /^HTTP\/1\.1 403 [\s\S]*by itself/);
});

t.test('a rule counts a request once, however much of it that allows', async (t) => {
  const echo = await startEcho(t);
  const allow = [{ route: 'GET /**', rate: '2/h' }, 'GET /folder/**'];
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: allow } } });
  for (const only of [null, ['GET /folder/**']]) {
    const { handle } = gateway.issue('web', { only });
    const ask = () =>
      raw(
        t,
        gateway.port,
        `GET /folder/a?list:method&all:method HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`,
      ).ended;
    for (const status of [200, 200, 429]) t.match(await ask(), new RegExp(`^HTTP/1\\.1 ${status} `));
  }
});

t.test('A1: what the opening of a WebSocket asks for besides is decided and recorded, too', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['WS /live', 'GET /live'] } } });
  const { handle } = gateway.issue('web');
  const open = (method: string) =>
    raw(
      t,
      gateway.port,
      `GET /live HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-HTTP-Method-Override: ${method}\r\n\r\n`,
    ).ended;
  t.match(await open('DELETE'), /^HTTP\/1\.1 403 /);
  await open('GET');
  const actions = (await gateway.events()).filter(({ kind }) => kind === 'action');
  t.match(
    actions.map(({ facts }) => facts),
    [
      { verb: 'WS', outcome: 'deny', rule: 'no rule allows DELETE /live' },
      { verb: 'WS', outcome: 'allow', rule: 'WS /live' },
      { verb: 'GET', on: ['/live'], outcome: 'allow', rule: 'GET /live', of: actions[1]?.seq },
    ],
  );
  t.equal(actions.length, 3);
});
