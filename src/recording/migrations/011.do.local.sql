-- Local accounts: invitations and passkeys. Every secret stands here as its SHA-256 alone.

-- Single-use links that let somebody make the first passkey of their account.
create table invitations (
  hash        bytea primary key,
  subject     text        not null references people (subject),
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  by          text        not null,
  used_at     timestamptz                      -- used, or taken back
);
create index invitations_open on invitations (subject) where used_at is null;

-- Passkeys. The credential of one that ended stays taken.
create table passkeys (
  id          uuid primary key,
  credential  bytea       not null unique,     -- what authenticators call it
  subject     text        not null references people (subject),
  public_key  bytea       not null,            -- COSE (RFC 9052)
  counter     bigint      not null,            -- the authenticator's count of its signatures; 0: it keeps none
  created_at  timestamptz not null,
  used_at     timestamptz,
  ended_at    timestamptz
);
create index passkeys_open on passkeys (subject) where ended_at is null;

-- Challenges that wait for an authenticator's answer. A row is deleted by the one answer it is for.
create table ceremonies (
  hash        bytea primary key,               -- of what only the browser that began it holds
  challenge   bytea       not null,
  kind        text        not null check (kind in ('invitation', 'login', 'addition')),
  invitation  bytea,                           -- hash of the invitation it was begun with
  login       bytea,                           -- hash of the login it was begun in
  expires_at  timestamptz not null,
  check ((kind = 'invitation') = (invitation is not null) and (kind = 'addition') = (login is not null))
);
create index ceremonies_expired on ceremonies (expires_at);
