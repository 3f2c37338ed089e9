-- From request to close-out. One row of access_requests, and everything that names it, is an engagement.

create table ndas (
  id            uuid primary key,              -- UUIDv7
  party         text        not null references people (subject),
  title         text        not null,
  text_hash     bytea       not null,          -- SHA-256 of the text that was signed
  signed_on     date        not null,
  valid_until   date        not null,          -- its last day, UTC
  registered_at timestamptz not null,
  registered_by text        not null,
  ended_at      timestamptz,                   -- taken back before its time
  ended_by      text,
  check (valid_until >= signed_on)
);
create index ndas_party on ndas (party);

create table access_requests (
  id           uuid primary key,               -- UUIDv7
  principal    text        not null references people (subject),
  service      text        not null,
  role         text        not null,
  task         text        not null,           -- one sentence
  kind         text        not null check (kind in ('usual', 'pre_approved', 'break_glass')),
  starts_at    timestamptz not null,
  ends_at      timestamptz not null,           -- starts_at + the duration (clock start), or the last moment to begin (first_use)
  seconds      integer     not null check (seconds > 0),  -- how long the grant is to last
  clock        text        not null check (clock in ('start', 'first_use')),
  hours        text,                           -- weekly hours, canonical text
  sponsor      text        references people (subject),
  nda          uuid        references ndas (id),
  lane         text        not null,
  owner        text        not null,           -- group:<name> of when it was made; decisions ask the policy in force
  policy_version text      not null,
  needed       smallint    not null,           -- approvals, of when it was judged last
  state        text        not null check (state in ('pending', 'approved', 'activated', 'refused', 'withdrawn', 'lapsed', 'returned', 'revoked')),
  created_at   timestamptz not null,
  decide_by    timestamptz not null,
  decided_at   timestamptz,
  -- What the approvers left of it; null: as it was asked for.
  allowed_role    text,
  allowed_seconds integer,
  allowed_only    text[],
  grant_id     text,                           -- the newest grant
  activated_at timestamptz,
  over_at      timestamptz,                    -- returned, revoked, refused, withdrawn, lapsed
  review_due   timestamptz,                    -- break-glass
  reviewed_at  timestamptz,
  reviewed_by  text,
  review       text
);
create index access_requests_principal on access_requests (principal, created_at);
create index access_requests_open on access_requests (decide_by) where state = 'pending';
create index access_requests_service on access_requests (service, created_at);
create unique index access_requests_grant on access_requests (grant_id);

-- One decision of one approver. Append-only.
create table approvals (
  seq         bigint generated always as identity primary key,
  request_id  uuid        not null references access_requests (id),
  approver    text        not null,
  outcome     text        not null check (outcome in ('approve', 'refuse')),
  at          timestamptz not null,
  comment     text        not null,
  owner       text        not null,            -- the group by which they decided
  role        text,
  seconds     integer,
  only_rules  text[],
  unique (request_id, approver)
);

-- What happened to a request, in order. Append-only.
create table request_acts (
  seq         bigint generated always as identity primary key,
  request_id  uuid        not null references access_requests (id),
  act         text        not null,            -- create, approve, refuse, withdraw, lapse, activate, renew, suspend, resume, return, revoke, review
  at          timestamptz not null,
  by          text        not null,
  reason      text        not null,
  detail      jsonb       not null default '{}'
);
create index request_acts_request on request_acts (request_id);

-- Who acknowledged which terms, at first use. Append-only.
create table nda_acknowledgements (
  nda         uuid        not null references ndas (id),
  request_id  uuid        not null references access_requests (id),
  principal   text        not null,
  text_hash   bytea       not null,
  at          timestamptz not null,
  primary key (nda, request_id)
);

-- Answers to requests that carried an Idempotency-Key, for a day.
create table idempotency (
  actor       text        not null,
  key         text        not null,
  route       text        not null,
  asked       bytea       not null,            -- SHA-256 of the body
  status      smallint,                        -- null while the first is under way
  answer      text,
  at          timestamptz not null,
  primary key (actor, key)
);
create index idempotency_at on idempotency (at);
