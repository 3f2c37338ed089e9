-- Secrets that services sent to sessions, derived from the blocks as the rest of the index is: one row per session and secret.
-- The secret stands here by the name its policy gives it, never by its bytes.
create table secret_sightings (
  session_id  uuid        not null,
  principal   text        not null,
  service     text        not null,
  secret      text        not null,
  at          timestamptz not null,            -- when it was seen first
  primary key (session_id, secret)
);
create index secret_sightings_principal on secret_sightings (principal);

-- Ending a login ends what it opened.
create index browser_sessions_login on browser_sessions (login);
