-- What people and channels are told. A notice is written with the act it is about; who gets it where is found out afterwards.
create table notices (
  id          uuid primary key,                -- UUIDv7
  kind        text        not null,
  dedupe      text        not null unique,     -- what happened: told once
  data        jsonb       not null,            -- the fields of its text
  people      text[]      not null,            -- subjects
  to_group    text,                            -- without `group:`
  channels    boolean     not null,            -- whether the shared channels get it
  at          timestamptz not null,
  spread_at   timestamptz                      -- when its deliveries were made
);
create index notices_new on notices (id) where spread_at is null;
create index notices_at on notices (at);

-- One notice to one recipient over one channel.
create table deliveries (
  id          uuid primary key,                -- UUIDv7: how the receiver knows it again
  notice      uuid        not null references notices (id) on delete cascade,
  channel     text        not null,
  recipient   text        not null,            -- an address; empty where the channel has one receiver
  state       text        not null check (state in ('waiting', 'sent', 'failed')),
  attempts    integer     not null default 0,
  first_at    timestamptz,                     -- of the first attempt
  due_at      timestamptz not null,            -- by the gateways' clocks
  leased_until timestamptz,                    -- by the database's clock: nobody else sends it until then
  unsure      boolean     not null default false,  -- whether the last attempt arrived is not known
  ended_at    timestamptz,
  error       text,                            -- of the last attempt
  unique (notice, channel, recipient)
);
create index deliveries_waiting on deliveries (due_at) where state = 'waiting';
create index deliveries_failed on deliveries (ended_at) where state = 'failed';

-- What ended before this is nobody's news.
create table notices_since (at timestamptz not null);
insert into notices_since values (now());

create index grants_expired on grants (expires_at);
create index grants_revoked on grants (revoked_at) where revoked_at is not null;
