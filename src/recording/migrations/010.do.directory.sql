-- Logins through the company's directory (OpenID Connect) and tokens for tools. Every secret stands here as its SHA-256 alone.

-- How a login came about; what the directory calls it, for its back-channel logout.
alter table logins
  add column source       text not null default 'link' check (source in ('link', 'oidc', 'passkey')),
  add column issuer       text,
  add column sid          text,
  add column id_token_sub text;
create index logins_directory on logins (issuer, id_token_sub) where ended_at is null and issuer is not null;

-- Logins under way at the directory. Nonce and PKCE verifier are derived from what only the browser holds.
create table oidc_flows (
  hash        bytea primary key,               -- of `state`
  browser     bytea       not null,            -- of what only the browser that began it holds
  issuer      text        not null,
  target      text        not null,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  used_at     timestamptz
);
create index oidc_flows_expired on oidc_flows (expires_at);

-- Logout tokens that came: each counts until what it names has ended, and ends a login that is under way meanwhile.
create table oidc_logouts (
  issuer      text        not null,
  jti         text        not null,
  sub         text,
  sid         text,
  at          timestamptz not null,
  done_at     timestamptz,
  expires_at  timestamptz not null,
  primary key (issuer, jti)
);
create index oidc_logouts_expired on oidc_logouts (expires_at);

-- Codes that a browser's confirmation gives a command line, single use, bound to its PKCE challenge.
create table tool_codes (
  hash        bytea primary key,
  login       bytea       not null,
  challenge   bytea       not null,
  client      text        not null,
  expires_at  timestamptz not null,
  used_at     timestamptz
);
create index tool_codes_expired on tool_codes (expires_at);

-- Bearer tokens of tools. They end with the login they came from.
create table tokens (
  hash        bytea primary key,
  principal   text        not null,
  login       bytea       not null,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  ended_at    timestamptz,
  client      text        not null
);
create index tokens_open on tokens (principal) where ended_at is null;
create index tokens_login on tokens (login);
create index tokens_expired on tokens (expires_at);
