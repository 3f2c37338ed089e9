-- The ledger: what was permitted, by whom and why. Redis is only its live index.
create table grants (
  id          text primary key,
  service     text        not null,
  principal   text        not null,
  role        text        not null,
  sponsor     text        not null,
  reason      text        not null,
  token       text        not null,            -- the signed grant; holds a hash of the secret, never the secret
  issued_at   timestamptz not null,
  not_before  timestamptz not null,
  expires_at  timestamptz not null,
  renewals    integer     not null default 0,
  revoked_at  timestamptz
);
create index grants_live on grants (expires_at) where revoked_at is null;

-- Every act on a grant, with the person and the reason. Append-only.
create table grant_acts (
  seq       bigint generated always as identity primary key,
  grant_id  text        not null,
  act       text        not null check (act in ('issue', 'renew', 'revoke')),
  at        timestamptz not null,
  by        text        not null,
  reason    text        not null,
  token     text                               -- the token the act put in force
);
create index grant_acts_grant on grant_acts (grant_id);
