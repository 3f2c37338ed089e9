-- Grants that are suspended: still there, and usable again when resumed, unless they were revoked.
alter table grants add column suspended_at timestamptz;

alter table grant_acts drop constraint grant_acts_act_check;
alter table grant_acts add constraint grant_acts_act_check
  check (act in ('issue', 'renew', 'revoke', 'suspend', 'resume', 'replace'));

-- From which networks the handle of a grant was used. Append-only.
create table grant_networks (
  grant_id    text        not null,
  network     text        not null,            -- IPv4 /24, IPv6 /48, or `loopback`
  first_seen  timestamptz not null,
  primary key (grant_id, network)
);

-- What somebody should look at; acknowledged by whoever did.
create table alerts (
  id              uuid primary key,            -- UUIDv7
  kind            text        not null,        -- second_network
  principal       text,
  service         text,
  grant_id        text,
  session_id      uuid,
  detail          jsonb       not null default '{}',
  at              timestamptz not null,
  acknowledged_at timestamptz,
  acknowledged_by text,
  check ((acknowledged_at is null) = (acknowledged_by is null))
);
create index alerts_open on alerts (at) where acknowledged_at is null;
create index alerts_grant on alerts (grant_id);
