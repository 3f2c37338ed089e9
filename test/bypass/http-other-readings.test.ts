import t, { type Test } from 'tap';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';

/** What may stand in a name besides letters and digits (RFC 9110 section 5.6.2): lighttpd writes `_` for each of them. */
const MARKS = [..."!#$%&'*+.^_`|~-"];
/** A name with its hyphens written otherwise, one after the other and all at once. */
const spellings = (name: string) =>
  MARKS.flatMap((mark) => [name.replace('-', mark), name.replaceAll('-', mark)]).filter(
    (other) => other.toLowerCase() !== name,
  );

/** A service that sees what a role passes on, and what is asked of it. */
async function serviceWith(t: Test, roles: readonly unknown[], more: object = {}) {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: roles }, ...more } });
  const { handle } = gateway.issue('web');
  const ask = (line: string, lines = '', body = '') =>
    raw(
      t,
      gateway.port,
      `${line} HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n${lines}\r\n${body}`,
    ).ended;
  return { echo, gateway, ask };
}

t.test('A3: what CGI makes one variable of is one name: lighttpd, PHP behind Caddy', async (t) => {
  const { echo, gateway, ask } = await serviceWith(t, ['GET /'], {
    headers: { 'x-api-key': 'k-injected' },
    identityHeaders: { subject: 'X-User' },
  });
  for (const mark of MARKS) {
    const names = ['x-user', 'x-api-key', 'x-forwarded-for', 'remote-user', 'x-real-ip', 'daypass-assertion'];
    const lines = names.map((name) => name.replaceAll('-', mark)).map((name) => `${name}: evil\r\n`);
    t.match(await ask('GET /', lines.join('')), /^HTTP\/1\.1 200 /);
    const heard = echo.requests.at(-1)?.headers ?? [];
    t.same(
      heard.filter(([, value]) => value === 'evil'),
      [],
      mark,
    );
    t.match(Object.fromEntries(heard), { 'x-user': 'alice', 'x-api-key': 'k-injected' });
  }
  t.notMatch(JSON.stringify(await gateway.events()), /x.user: evil|api.key: evil/i, 'nor in the record');
});

t.test('A1: no spelling of a header makes another request of it', async (t) => {
  const { echo, ask } = await serviceWith(t, ['POST /open']);
  const lines = ['x-original-url', 'content-type'].flatMap(spellings).map((name) => `${name}: evil\r\n`);
  t.match(await ask('POST /open', `${lines.join('')}Content-Length: 0\r\n`), /^HTTP\/1\.1 200 /);
  for (const { headers } of echo.requests)
    t.same(
      headers.filter(([, value]) => value === 'evil'),
      [],
    );
  for (const name of ['x-http-method-override', 'x-http-method', 'x-method-override'].flatMap(spellings))
    for (const method of ['DELETE', 'evil'])
      t.match(await ask('POST /open', `${name}: ${method}\r\nContent-Length: 0\r\n`), /^HTTP\/1\.1 403 /, name);
  t.equal(echo.requests.length, 1);
});

t.test('A1: no client says where an application begins: gunicorn and Pyramid take its word', async (t) => {
  const { echo, ask } = await serviceWith(t, ['GET /public/**']);
  const names = ['SCRIPT_NAME', 'Script_Name', 'script-name', 'Script.Name', 'PATH_INFO', 'X-Script-Name'];
  const elsewhere = [
    ...['X-Vhm-Root', 'X_Vhm_Root', 'X-Vhm-Host', 'X-Traversal-Path', 'X-Ingress-Path', 'X-ScriptName', 'X-PathInfo'],
    ...['X-Path-Info', 'X-Matched-Path', 'X-Invoke-Path', 'X-Now-Route-Matches', 'X-Request-URI'],
    'X-WAWS-Unencoded-URL',
  ];
  const others = ['X-Sendfile-Type', 'X-Accel-Mapping', 'Client-Cert', 'X-Client-Verify', 'SSL_CLIENT_S_DN', '$WSRU'];
  const certificates = ['X-ARR-ClientCert', 'MS-ASPNETCORE-CLIENTCERT', 'X-Client-Cert-Subject-DN', 'X-SSL-Cert'];
  const lines = [...names, ...elsewhere, ...others, ...certificates].map((name) => `${name}: /public\r\n`).join('');
  t.match(await ask('GET /public/admin/users', lines), /^HTTP\/1\.1 200 /);
  t.same(
    echo.requests[0]?.headers.filter(([, value]) => value === '/public'),
    [],
  );
});

t.test('A4: no client says which service a mesh leads to, nor which method of a bean Camel calls', async (t) => {
  const { echo, ask } = await serviceWith(t, ['GET /orders']);
  const names = ['l5d-dst-override', 'L5d_Dst_Override', 'Dtab-Local', 'dapr-app-id', 'Knative-Serving-Revision'];
  const beans = ['CAmelBeanMethodName', 'CamelBeanMethodName', 'CAmelFileName', 'camelhttpuri'];
  const lines = [...names, ...beans, 'X-Userinfo'].map((name) => `${name}: evil\r\n`).join('');
  t.match(await ask('GET /orders', lines), /^HTTP\/1\.1 200 /);
  t.same(
    echo.requests[0]?.headers.filter(([, value]) => value === 'evil'),
    [],
  );
});

t.test('A1: a query names no other method, as PHP and others read its names', async (t) => {
  const { echo, ask } = await serviceWith(t, ['GET /**']);
  for (const name of [
    ...['.method', '%2emethod', '+.method', '%0a_method', '?_method', '[_method]', '%EF%BB%BF_method'],
    ...['_method%00', '_method%00x', '.method%00x', '_method.', '_method%0a', '_method%5b%5d', 'a=1;.method'],
    ...['X-HTTP-Method-Override', 'x-http-method', 'X-Method-Override', '_HttpMethod', '__METHOD_OVERRIDE__'],
    ...['x-tunneled-method', '%78-Tunneled-Method', 'x-tunneled-method[]', '_http_method'], // Plack, Catalyst
    ...['CAmelBeanMethodName', '%43amelBeanMethodName'], // Camel
  ])
    for (const query of [`${name}=DELETE`, `a=1&${name}=DELETE`])
      t.match(await ask(`GET /x?${query}`), /^HTTP\/1\.1 400 [\s\S]*ambiguous_target/, query);
  t.equal(echo.requests.length, 0);
  for (const query of [
    'method=x',
    'payment_method=card',
    'payment.method=card',
    'a.method=1',
    '_methods=2',
    'x=_method',
  ])
    t.match(await ask(`GET /x?${query}`), /^HTTP\/1\.1 200 /, query);
});

t.test('A1: a header that a rule names is the one that a service reads', async (t) => {
  const { echo, ask } = await serviceWith(t, [{ route: 'GET /', headers: { 'x-mode': 'read' } }]);
  for (const name of spellings('x-mode'))
    for (const lines of [
      `X-Mode: read\r\n${name}: write\r\n`,
      `${name}: write\r\nX-Mode: read\r\n`,
      `${name}: read\r\n`,
    ])
      t.match(await ask('GET /', lines), /^HTTP\/1\.1 400 [\s\S]*ambiguous_target/, JSON.stringify(lines));
  t.equal(echo.requests.length, 0);
});

t.test('A1: a query parameter that a rule names is the one that a service reads', async (t) => {
  const rules = [
    { route: 'GET /find', query: { kind: 'book' } },
    { route: 'GET /under', query: { kind_x: 'book', kind_: { one_of: ['book'], optional: true } } },
    { route: 'GET /may', query: { kind: { one_of: ['book'], optional: true }, all: { absent: true } } },
    { route: 'GET /list', query: { status: 'open', size: { one_of: ['1'], optional: true } } },
  ];
  const { echo, ask } = await serviceWith(t, rules);
  const others = Array.from({ length: 200 }, (_, at) => `&p${at}=1`).join('');
  for (const target of [
    '/under?kind_x=book&kind[x=all', // PHP: kind_x
    '/under?kind[x=all&kind_x=book',
    '/under?kind_x=book&kind%5Bx=all',
    '/under?kind_x=book&kind_=book&kind+=all', // PHP: kind_
    '/find??kind=all&kind=book', // URLSearchParams: kind
    '/find??kind=book',
    '/find?kind=book&kind:list=all', // Zope: kind
    '/find?kind%3Aint=1&kind=book',
    '/find?kind=book&kind.x=all', // Rocket: no kind at all
    '/find?kind.=all&kind=book',
    '/find?kind=book&%2Ekind=all',
    '/find?kind=book&.kind.x:y=all',
    '/find?kind=book&]kind=all', // Rack up to 2.2: kind
    '/find?%5D%5B]kind=all&kind=book',
    '/find?kind=book&=kind=all', // ufo (Nuxt): book and all
    '/may?=kind=all',
    '/may?all?', // querystringify: all
    '/may?kind?=all',
    '/may??=kind=all',
    '/may?kind=book&==all',
    '/may?!kind=all', // Spring, where there is no other
    '/may?kind=book&%21all=1',
    '/may?_kind=on',
    '/may?!kind.x=all',
    '/list?status=open&%C5%BFtatus=all', // gorilla/schema: status is all, or open, as it comes
    '/list?%C5%BFtatus=open',
    '/list?status=open&statu%C5%BF[]=all',
    '/list?status=open&s%C4%B1ze=9', // Java: equalsIgnoreCase
    '/list?status=open&s%C4%B0ze=9',
    '/list?status=open&%EF%BD%93ize=9',
    '/list?status=open&si%C2%ADze=9', // .NET's NameValueCollection
    '/list?status=open&%E2%80%8Bsize=9',
    '/find?kind=book&%E2%84%AAind=all',
    `/find?kind=book${others}`, // left out by some, from a thousand on
    `/find?${'&'.repeat(200)}kind=book`,
  ])
    t.match(await ask(`GET ${target}`), /^HTTP\/1\.1 400 [\s\S]*ambiguous_target/, target.slice(0, 40));
  t.match(await ask(`GET /find?kind=book${others.slice(0, 500)}`), /^HTTP\/1\.1 200 /);
  t.match(
    await ask('GET /find?kind=book&gr%C3%B6%C3%9Fe=1&gr%C3%B6se=2&k%C3%AFnd=3'),
    /^HTTP\/1\.1 200 /,
    'other letters',
  );
  t.match(
    await ask('GET /find?kind=book&name:exact=a&name:not=b&at.from=1&at.to=2'),
    /^HTTP\/1\.1 200 /,
    'FHIR’s, of which no rule says anything',
  );
  t.equal(echo.requests.length, 3);
});

t.test('A1: a query that a rule looks at is in no characters but those that it is read in: Django', async (t) => {
  const query = { status: 'open', all: { absent: true } };
  const { echo, ask } = await serviceWith(t, [{ route: 'GET /list', query }, 'GET /other']);
  const hidden = [
    ['utf-7', '&%2BAHM-tatus=all'],
    ['UTF-7', '&%2BAGE-ll=1'],
    ['unicode_escape', '&%5Cx73tatus=all'],
    ['raw_unicode_escape', '&%5Cu0073tatus=all'],
    ['cp037', ''],
    ['utf-16le', ''],
    ['iso-8859-9', '&s%C4%B1ze=1'],
  ] as const;
  for (const [charset, more] of hidden)
    for (const type of [
      `text/plain; charset=${charset}`,
      `x; CHARSET = "${charset}"`,
      `x;charset*=''${charset}`,
      `text/plain; charset=utf-8; charset=${charset}`,
      `text/plain; charset=${charset}; charset=utf-8`,
    ]) {
      const answer = await ask(`GET /list?status=open${more}`, `Content-Type: ${type}\r\n`);
      t.match(answer, /^HTTP\/1\.1 400 [\s\S]*ambiguous_target/, `${type} ${more}`);
    }
  t.match(await ask('GET /list?status=open', 'Content-Type: x;char\xc2\xadset=utf-7\r\n'), /^HTTP\/1\.1 400 /);
  t.equal(echo.requests.length, 0);
  for (const type of ['text/plain', 'application/json; charset=utf-8', 'x;charset="UTF-8"; a=b', 'x; charset=utf8']) {
    const answer = await ask('GET /list?status=open&name=%C3%A9', `Content-Type: ${type}\r\n`);
    t.match(answer, /^HTTP\/1\.1 200 /, type);
  }
  const long = `text/plain; ${'charset'.repeat(2_000)}`; // each of them was compared with all behind it, for each rule
  t.match(await ask('GET /list?status=open', `Content-Type: ${long}\r\n`), /^HTTP\/1\.1 400 /);
  t.match(await ask('GET /list?status=open', 'Content-Type: text/xml; charset=iso-8859-1\r\n'), /^HTTP\/1\.1 200 /);
  t.match(await ask('GET /other?x', 'Content-Type: text/plain; charset=utf-7\r\n'), /^HTTP\/1\.1 200 /);
});

t.test('A1: a cookie names no other method than a role allows: PHP’s $_REQUEST, as of Flight', async (t) => {
  const { echo, gateway, ask } = await serviceWith(t, ['GET /x', 'POST /x']);
  for (const cookie of [
    '_method=DELETE',
    'a=b; _METHOD=delete',
    '.method=PUT',
    '%5fmethod=DELETE',
    '_method[]=x',
    '_method',
  ])
    for (const method of ['GET', 'POST']) {
      const answer = await ask(`${method} /x`, `Cookie: ${cookie}\r\n`);
      t.match(answer, /^HTTP\/1\.1 403 [\s\S]*asks for more/, `${method} ${cookie}`);
    }
  t.match(await ask('GET /x', 'Cookie: a=b\r\nCookie: _method=DELETE\r\n'), /^HTTP\/1\.1 403 /);
  t.equal(echo.requests.length, 0);
  t.match(await ask('POST /x', 'Cookie: _method=GET\r\nContent-Length: 0\r\n'), /^HTTP\/1\.1 200 /, 'which is allowed');
  t.match(await ask('GET /x', 'Cookie: method=DELETE; a_method=1; x=_method\r\n'), /^HTTP\/1\.1 200 /);
  const asked = (await gateway.events()).filter(({ facts }) => facts.of !== undefined && facts.verb === 'GET');
  t.equal(asked.length, 1, 'and recorded as what it asks for');
});

t.test('A1: a parameter that a rule names is in no cookie: PHP’s $_REQUEST', async (t) => {
  const query = { kind: 'book', all: { absent: true }, kind_x: { one_of: ['1'], optional: true } };
  const rules = [{ route: 'GET /find', query }, 'GET /other'];
  const { echo, ask } = await serviceWith(t, rules);
  for (const cookie of [
    'kind=all',
    'a=b; KIND=all',
    'a=b;\tkind[x]=all',
    'all',
    'all=1',
    'kind[x=2',
    'kind.x=2',
    'k%69nd=all',
    ' kind =all',
    '%C5%BFx=1; kind%20x=1',
  ])
    t.match(await ask('GET /find?kind=book', `Cookie: ${cookie}\r\n`), /^HTTP\/1\.1 400 [\s\S]*cookie/, cookie);
  t.match(await ask('GET /find?kind=book', 'Cookie: a=b\r\nCookie: kind=all\r\n'), /^HTTP\/1\.1 400 /);
  t.equal(echo.requests.length, 0);
  t.match(await ask('GET /find?kind=book', 'Cookie: a=kind; kinds=all; c="all"\r\n'), /^HTTP\/1\.1 200 /);
  t.match(await ask('GET /other?kind=1', 'Cookie: kind=all\r\n'), /^HTTP\/1\.1 200 /, 'of which no rule says anything');
  const alone = await serviceWith(t, rules, { queryOnly: true });
  t.match(await alone.ask('GET /find?kind=book', 'Cookie: kind=all\r\n'), /^HTTP\/1\.1 200 /);
});

t.test('A1: a parameter with a dot is one of its own where the rule names it besides, as of Solr', async (t) => {
  const query = { q: 'book', 'q.op': { one_of: ['AND'], optional: true }, 'q.alt': { absent: true } };
  const { echo, ask } = await serviceWith(t, [{ route: 'GET /select', query }]);
  for (const further of [
    'q.op=OR',
    'q.alt=x',
    'q.op.x=AND',
    'q.op=AND&q.x=1',
    'q.x=1&q.op=AND',
    'Q.op=AND',
    'q.=a',
    'q:op=AND',
  ])
    for (const asked of [`q=book&${further}`, `${further}&q=book`])
      t.match(await ask(`GET /select?${asked}`), /^HTTP\/1\.1 40[03] /, asked);
  t.equal(echo.requests.length, 0);
  for (const asked of ['q=book&q.op=AND', 'q.op=AND&q=book', 'q=book'])
    t.match(await ask(`GET /select?${asked}`), /^HTTP\/1\.1 200 /, asked);
});

t.test(
  'A1: what a body says in place of a query parameter that a rule names reaches no service that may take it',
  async (t) => {
    const rules = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map((method) => ({
      route: `${method} /find`,
      query: { kind: 'book', page: { type: 'int', optional: true } },
    }));
    const bodies = [
      ['', 'kind=all'],
      ['Content-Type: application/x-www-form-urlencoded\r\n', 'kind=all'],
      ['Content-Type: application/json\r\n', '{"kind":"all"}'],
      ['Content-Type: text/plain\r\n', 'page=-1'],
      [
        'Content-Type: multipart/form-data; boundary=x\r\n',
        '--x\r\nContent-Disposition: form-data; name=kind\r\n\r\nall\r\n--x--\r\n',
      ],
    ] as const;
    const any = await serviceWith(t, rules);
    const apart = await serviceWith(t, rules, { queryOnly: true });
    let asked = 0;
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const line = `${method} /find?kind=book`;
      for (const [type, body] of bodies)
        for (const [framing, framed] of [
          [`Content-Length: ${body.length}\r\n`, body],
          ['Transfer-Encoding: chunked\r\n', `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
        ] as const) {
          const refused = await any.ask(line, type + framing, framed);
          t.match(
            refused,
            method === 'HEAD' ? /^HTTP\/1\.1 400 / : /^HTTP\/1\.1 400 [\s\S]*ambiguous_target[\s\S]*query_only/,
            line,
          );
          t.match(await apart.ask(line, type + framing, framed), /^HTTP\/1\.1 200 /, line);
        }
      t.match(await any.ask(line, 'Content-Length: 0\r\n'), /^HTTP\/1\.1 200 /, line);
      asked += 1;
    }
    t.equal(any.echo.requests.length, asked);
  },
);
