-- Gateways that write here; one unseen for 45 s has lost its sessions.
create table gateways (
  id       uuid primary key,
  started_at timestamptz not null,
  seen_at  timestamptz not null,
  host     text not null,
  pid      integer not null
);

-- The policy texts that decisions name by version (secrets are references in them, never values).
create table policies (
  version  text primary key,
  service  text not null,
  text     text not null,
  first_seen timestamptz not null default now()
);

create table sessions (
  id           uuid primary key,               -- UUIDv7
  gateway_id   uuid        not null,
  grant_id     text        not null,
  service      text        not null,
  protocol     text        not null,
  principal    text        not null,
  role         text        not null,
  client       text        not null,
  mode         text        not null check (mode in ('strict', 'buffered')),
  policy_version text      not null,
  started_at   timestamptz not null,
  ended_at     timestamptz,
  end_reason   text,
  due_at       timestamptz,                    -- when the cut was due, for a session the gateway ended
  cut_at       timestamptz,
  bytes_after_due bigint,                      -- upstream-origin bytes given to a socket after due
  last_seq     bigint,
  last_hash    bytea
);
create index sessions_started on sessions (started_at);
create index sessions_principal on sessions (principal, started_at);
create index sessions_open on sessions (gateway_id) where ended_at is null;

-- Evidence: append-only blocks, one row per session and flush.
create table blocks (
  session_id  uuid        not null,
  first_seq   bigint      not null,
  last_seq    bigint      not null,
  from_at     timestamptz not null,
  to_at       timestamptz not null,
  hash_before bytea       not null,
  hash_after  bytea       not null,
  payload     bytea       not null,
  format      smallint    not null,            -- 1: pairs of JSON lines (header, payload), deflate
  primary key (session_id, first_seq)
) partition by range (session_id);
create table blocks_default partition of blocks default;

-- Index: searchable facts derived from the blocks, a row per session and stretch of at most about a second.
-- It may be emptied and rebuilt at any time; no decision reads it.
create table block_index (
  session_id  uuid        not null,
  first_seq   bigint      not null,
  last_seq    bigint      not null,
  from_at     timestamptz not null,
  to_at       timestamptz not null,
  actions     integer     not null,
  denied      integer     not null,
  verbs       text[]      not null,
  targets     text[]      not null,
  reasons     text[]      not null,
  rows        bigint      not null,
  bytes_in    bigint      not null,
  bytes_out   bigint      not null,
  text        text        not null,
  primary key (session_id, first_seq)
);
create index block_index_at on block_index (from_at);
create index block_index_refused on block_index (session_id) where denied > 0;
create index block_index_targets on block_index using gin (targets);

-- Looking at a recording is itself recorded.
create table viewings (
  seq        bigint generated always as identity primary key,
  at         timestamptz not null default now(),
  by         text        not null,
  act        text        not null,             -- show, replay, export, verify
  session_id uuid
);
