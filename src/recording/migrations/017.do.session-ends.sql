-- Live sessions that were ended by hand at a gateway that does not have them: whichever has one cuts it by this row.
create table session_ends (
  session_id uuid primary key,
  at         timestamptz not null default now(),
  by         text        not null,
  reason     text        not null
);
create index session_ends_at on session_ends (at);
