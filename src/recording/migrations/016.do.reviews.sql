-- Which rules allowed what was done, as decisions name them: empty in stretches of before, until the index is rebuilt.
alter table block_index add column rules text[] not null default '{}';

-- An owner's answer about access that lasts. A request's grants are one subject, whatever handle it has by now.
create table reviews (
  id           uuid primary key,               -- UUIDv7
  subject      text        not null,           -- request:<id>; grant:<id> for one that no request made
  request_id   uuid references access_requests (id),
  grant_id     text        not null,           -- the one in force when it was opened
  service      text        not null,
  principal    text        not null,
  owner        text        not null,           -- group:<name> of when it was opened; answers ask the policy in force
  opened_at    timestamptz not null,
  due_at       timestamptz not null,
  answer       text check (answer in ('confirm', 'end', 'unanswered', 'over')),  -- over: the access ended meanwhile
  answered_at  timestamptz,
  answered_by  text,
  comment      text,
  ended_at     timestamptz,                    -- when the access had ended for the answer
  check ((answer is null) = (answered_at is null))
);
create unique index reviews_open on reviews (subject) where answer is null;
create index reviews_subject on reviews (subject, opened_at);
create index reviews_unfinished on reviews (due_at) where answer is null or (answer in ('end', 'unanswered') and ended_at is null);
