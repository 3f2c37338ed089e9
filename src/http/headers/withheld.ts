/**
 * What a client may say to the gateway and never to the service: who it is and where it comes from, which services behind a
 * proxy believe; `Proxy`, which CGI turns into `HTTP_PROXY` (httpoxy); where an application begins, by which gunicorn takes
 * `/public` off `/public/admin` (`SCRIPT_NAME`, from loopback unless told otherwise), and what path a proxy before it was asked for (Plack,
 * Home Assistant, Azure, and Vercel, whose words applications repeat); whom older Streamlit (1.38), Kubeflow, and the proxies of
 * IBM, SiteMinder and Oracle call the person.
 */
const NAMES = new Set([
  'host',
  'authorization',
  'expect',
  'forwarded',
  'via',
  'proxy',
  'script-name',
  'path-info',
  'x-script-name',
  'x-scriptname',
  'x-path-info',
  'x-pathinfo',
  'x-traversal-path',
  'x-ingress-path',
  'x-request-uri',
  'x-waws-unencoded-url',
  'x-matched-path',
  'x-now-route-matches',
  'x-sendfile-type',
  'x-host',
  'x-forwarded',
  'forwarded-for',
  'client-ip',
  'x-client-dn',
  'x-client-verify',
  'true-client-ip',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'cf-connecting-ip',
  'fastly-client-ip',
  'x-streamlit-user',
  'kubeflow-userid',
  'iv-user',
  'iv-groups',
  'iv-creds',
  'sm-user',
  'sm-universalid',
  'oam-remote-user',
  'osso-user-dn',
  'osso-user-guid',
]);

/**
 * The same by how names begin: proxies' words for who was authenticated, by certificates too (`$WS…` of WebSphere among them),
 * other paths and files (A1): with `X-Vhm-Root: /admin` Pyramid takes `/users` for `/admin/users`. And which service, or which
 * method of it, is asked (A4): a mesh between here and there goes by them (Linkerd, Finagle, Dapr, Knative), and Camel's beans before 4.10.2.
 */
const PREFIXES = [
  'daypass-',
  'x-forwarded-',
  'remote-',
  'x-remote-',
  'x-auth-request-',
  'x-auth-couchdb-',
  'x-authenticated-',
  'x-authentik-',
  'x-pomerium-',
  'x-vouch-',
  'x-consumer-username',
  'x-consumer-custom-id',
  'x-consumer-groups',
  'x-webauth-',
  'x-goog-authenticated-',
  'x-goog-iap-',
  'x-apigateway-api-userinfo',
  'x-endpoint-api-userinfo',
  'x-amzn-oidc-',
  'x-amzn-mtls-',
  'x-ms-client-principal',
  'x-ms-token-',
  'x-envoy-',
  'x-original-',
  'x-rewrite-',
  'x-accel-',
  'x-vhm-',
  'x-invoke-',
  'cf-access-',
  'oidc-claim-',
  'shib-',
  'x-token-subject',
  'x-token-user-',
  'x-proxy-user',
  'x-proxy-roles',
  'tailscale-user-',
  'client-cert',
  'x-client-cert',
  'x-arr-clientcert',
  'ms-aspnetcore-',
  'cf-client-cert',
  'ssl-client-',
  'x-ssl-client-',
  'x-ssl-cert',
  'wl-proxy-',
  'x-userinfo',
  '-ws',
  'l5d-',
  'dtab-',
  'dapr-app-id',
  'knative-serving-',
  'camel',
];

/**
 * As whom an account acts that may act as others, as that of the gateway may (A3): of Redmine, Discourse, Zammad (`From`), Trino and
 * Presto, NiFi, and Microsoft's Dynamics.
 */
const ACTS_AS = new Set([
  'x-redmine-switch-user',
  'api-username',
  'from',
  'x-trino-user',
  'x-trino-original-user',
  'x-presto-user',
  'x-proxiedentitieschain',
  'x-proxiedentitygroups',
  'mscrmcallerid',
  'callerobjectid',
]);

/**
 * The same by the word for it: of GitLab and Gitea, a plugin of Jira, Gerrit, Elasticsearch, OpenSearch, PingIDM, Zendesk, Kubernetes and
 * Appwrite.
 */
const ACTS_BY_WORD = /(?:^|-)(?:sudo|runas|run-as|impersonate|on-behalf-of)(?:-|$)/;

const BEGINS = new RegExp(`^(?:${PREFIXES.join('|')})`);

/** Whether what a client says by this name never reaches a service. @param plain - as `canonical` has it */
export function isWithheld(plain: string): boolean {
  return NAMES.has(plain) || ACTS_AS.has(plain) || ACTS_BY_WORD.test(plain) || BEGINS.test(plain);
}
