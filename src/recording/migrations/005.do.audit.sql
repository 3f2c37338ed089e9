-- The audit log: every administrative act and every viewing of a recording. Append-only, and chained: `hash_after` is
-- SHA-256 of `hash_before` and the bytes of `entry`. The other columns repeat what stands in `entry`, to be searched.
create table audit (
  seq         bigint primary key,              -- from 1, without a gap
  at          timestamptz not null,
  actor       text        not null,
  via         text        not null check (via in ('socket', 'browser', 'token', 'system')),
  act         text        not null,            -- <noun>.<verb>
  target      text        not null,            -- <noun>:<id>
  reason      text,
  result      text        not null check (result in ('done', 'refused', 'failed')),
  entry       text        not null,            -- one line of JSON, never written anew
  hash_before bytea       not null,
  hash_after  bytea       not null
);
create index audit_actor on audit (actor, seq);
create index audit_act on audit (act, seq);
create index audit_target on audit (target, seq);
create index audit_at on audit (at);

-- How far each receiver of the log has been told.
create table audit_cursors (
  receiver  text primary key,
  seq       bigint      not null,
  hash      bytea       not null,              -- hash_after of that line
  at        timestamptz not null
);

-- Whoever pastes a handle or a token into a reason does not have it kept here.
create function audit_without_secrets(value text) returns text language sql immutable as $$
  select regexp_replace(
    regexp_replace(value, 'dp_([0-9A-Za-z]{22})_[0-9A-Za-z]+', 'dp_\1_[redacted]', 'g'),
    'dpt_[0-9A-Za-z_-]{20,}', 'dpt_[redacted]', 'g')
$$;

-- A time as entries have it: UTC, microseconds.
create function audit_time(at timestamptz) returns text language sql stable as $$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- Appends one line, in the transaction of whoever calls: the act and its line are committed together or not at all. One
-- transaction appends at a time, until it commits: call it last, when all other locks are held. It is volatile, so each of
-- its queries sees what was committed before it got the lock. In a CTE it runs only if the query reads it.
create function audit_append(
  at timestamptz, actor text, via text, act text, target text, reason text, result text, detail jsonb default null
) returns bigint language plpgsql volatile
  set search_path from current
  set lock_timeout = '5s'
as $$
declare
  before bytea;
  due    bigint;
  line   text;
begin
  actor  := audit_without_secrets(actor);
  target := audit_without_secrets(target);
  reason := audit_without_secrets(reason);
  perform pg_advisory_xact_lock(1685086581);
  -- A gateway that stops within its transaction would keep all others from acting.
  if current_setting('idle_in_transaction_session_timeout') = '0' then
    perform set_config('idle_in_transaction_session_timeout', '10s', true);
  end if;
  select a.hash_after, a.seq + 1 into before, due from audit a order by a.seq desc limit 1;
  before := coalesce(before, sha256('daypass/audit/1\012'::bytea));
  due := coalesce(due, 1);
  at := coalesce(at, clock_timestamp());
  line := concat(
    '{"seq":', due, ',"at":', to_json(audit_time(at)), ',"actor":', to_json(actor), ',"via":', to_json(via),
    ',"act":', to_json(act), ',"target":', to_json(target), ',"reason":', coalesce(to_json(reason)::text, 'null'),
    ',"result":', to_json(result), ',"detail":', coalesce(audit_without_secrets(detail::text), 'null'), '}');
  insert into audit values (
    due, at, actor, via, act, target, reason, result, line, before, sha256(before || convert_to(line, 'UTF8')));
  return due;
end
$$;

-- By which door the act of this transaction came: `set local daypass.via = 'browser'`.
create function audit_via() returns text language sql stable as $$
  select coalesce(nullif(current_setting('daypass.via', true), ''), 'socket')
$$;

create function audit_grant_act() returns trigger language plpgsql set search_path from current as $$
declare
  about jsonb;
begin
  select jsonb_build_object('principal', g.principal, 'service', g.service, 'role', g.role, 'until', audit_time(g.expires_at))
    into about from grants g where g.id = new.grant_id;
  perform audit_append(new.at, new."by", audit_via(), 'grant.' || new.act, 'grant:' || new.grant_id, new.reason, 'done', about);
  return null;
end
$$;

-- A link is used in a browser, whatever else is known of the door.
create function audit_login_act() returns trigger language plpgsql set search_path from current as $$
begin
  perform audit_append(new.at, new."by", case when new.act = 'login' then 'browser' else audit_via() end,
    'login.' || new.act, 'person:' || new.principal, new.reason, 'done');
  return null;
end
$$;

create function audit_viewing() returns trigger language plpgsql set search_path from current as $$
begin
  perform audit_append(new.at, new."by", audit_via(), 'recording.' || new.act,
    coalesce('session:' || new.session_id, 'recordings'), null, 'done');
  return null;
end
$$;

-- Deferred: they run while the transaction commits, when it holds all of its other locks. So the order of locks is the same
-- for everybody, and no transaction keeps the log to itself while it waits for its client.
create constraint trigger audited after insert on grant_acts deferrable initially deferred
  for each row execute function audit_grant_act();
create constraint trigger audited after insert on login_acts deferrable initially deferred
  for each row execute function audit_login_act();
create constraint trigger audited after insert on viewings deferrable initially deferred
  for each row execute function audit_viewing();

-- Against accidents. Whoever owns the table can take this away; that is what the chain and heads noted elsewhere are for.
create function audit_refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end
$$;
create trigger append_only before update or delete or truncate on audit
  for each statement execute function audit_refuse_change();
