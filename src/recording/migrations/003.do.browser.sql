-- Browser access. Every secret stands here as its SHA-256 alone.

-- One-time links that log a browser in.
create table login_links (
  hash        bytea primary key,
  principal   text        not null,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  used_at     timestamptz                      -- used, or taken back by a logout
);
create index login_links_open on login_links (principal) where used_at is null;

-- Browsers that are logged in at the gateway's own host. Ending one ends all that was opened with it.
create table logins (
  hash        bytea primary key,
  principal   text        not null,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  ended_at    timestamptz
);
create index logins_open on logins (principal) where ended_at is null;

-- Single-use codes that hand a browser over from the gateway's host to a service's.
create table handovers (
  hash        bytea primary key,
  login       bytea       not null,
  service     text        not null,
  grant_id    text        not null,
  bind        bytea       not null,            -- SHA-256 of what only the browser that began it holds
  expires_at  timestamptz not null,
  used_at     timestamptz
);
create index handovers_expired on handovers (expires_at);

-- A browser at one service, bound to one grant and one login.
create table browser_sessions (
  hash        bytea primary key,
  id          uuid        not null unique,
  login       bytea       not null,
  service     text        not null,
  grant_id    text        not null,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  ended_at    timestamptz
);
create index browser_sessions_expired on browser_sessions (expires_at);

-- Every link, login and logout, with the person and the reason. Append-only.
create table login_acts (
  seq        bigint generated always as identity primary key,
  principal  text        not null,
  act        text        not null check (act in ('link', 'login', 'logout')),
  at         timestamptz not null,
  by         text        not null,
  reason     text        not null
);
create index login_acts_principal on login_acts (principal);
