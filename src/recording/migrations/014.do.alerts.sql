-- Alerts of one kind about one thing are one row while it is open: counted, and said once.
alter table alerts
  add column subject text,                     -- what it is about, as its rule words it; null: of a former release
  add column count   integer not null default 1,
  add column last_at timestamptz,              -- when it was found last; null: at `at`
  add column comment text;                     -- of whoever acknowledged it
create index alerts_subject on alerts (kind, subject, at);

-- Who has written where: a person's first write at a service is told of once.
create table first_writes (
  principal  text        not null,
  service    text        not null,
  at         timestamptz not null,
  primary key (principal, service)
);

-- What the rules look for: grants by their issue, and whether they were used.
create index if not exists grants_issued on grants (issued_at);
create index if not exists sessions_grant on sessions (grant_id);
