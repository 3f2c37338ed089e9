-- People: everyone has an account of their own.
create table people (
  subject      text primary key,
  kind         text        not null check (kind in ('employee', 'contractor')),
  source       text        not null check (source in ('directory', 'local')),
  issuer       text,                           -- OIDC iss and sub of people of the directory
  directory_id text,
  name         text        not null,
  email        text,
  groups       text[]      not null default '{}',
  groups_at    timestamptz,                    -- when the directory, or an operator, said so last
  sponsor      text references people (subject),
  ends_at      timestamptz,                    -- contractors must have one
  created_at   timestamptz not null,
  created_by   text        not null,
  closed_at    timestamptz,
  closed_by    text,
  closed_why   text,
  unique (issuer, directory_id),
  check ((source = 'directory') = (issuer is not null and directory_id is not null)),
  check (kind = 'employee' or (sponsor is not null and ends_at is not null))
);
create index people_sponsor on people (sponsor) where closed_at is null;
create index people_groups on people using gin (groups);
