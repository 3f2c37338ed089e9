-- When somebody leaves.

-- What ended when somebody was offboarded; once more adds what was left.
create table offboardings (
  subject     text primary key,
  first_at    timestamptz not null,
  last_at     timestamptz not null,
  by          text        not null,            -- of the first time, as is the reason
  reason      text        not null,
  ended       jsonb       not null
);

-- Grants that are suspended because the sponsor left: only these are resumed when there is another one.
create table sponsor_suspensions (
  grant_id    text primary key,
  principal   text        not null,
  sponsor     text        not null,            -- who left
  at          timestamptz not null,
  resumed_at  timestamptz
);
create index sponsor_suspensions_open on sponsor_suspensions (principal) where resumed_at is null;

-- No access begins, and no login, for an account that is closed, nor access for a contractor whose sponsor's is. Whoever writes
-- them has looked already; this holds for what is under way while an account is closed: it is either committed before, and seen
-- by whoever ends all that there is, or finds the account closed. Each person has a lock for that, which nothing else takes.
create function leaving_lock(subject text) returns bigint language sql immutable as
  $$ select (1685089382::bigint << 32) | (hashtext(subject)::bigint & 4294967295) $$;

create function leaving_closes() returns trigger language plpgsql set search_path from current as $$
begin
  perform pg_advisory_xact_lock(leaving_lock(new.subject));
  return null;
end
$$;
-- After the row's own lock: whoever has that may wait for somebody who has this, never the other way round.
create trigger leaving_closes after update of closed_at on people for each row
  when (old.closed_at is distinct from new.closed_at) execute function leaving_closes();

-- Why a principal gets no access; null when nothing keeps it from them.
create function leaving_why(subject text) returns text language sql stable set search_path from current as $$
  select case when p.closed_at is not null then format('the account of %s is closed', p.subject)
    when s.closed_at is not null then format('the sponsor of %s has left', p.subject) end
  from people p left join people s on s.subject = p.sponsor where p.subject = $1
$$;

create function leaving_refuses() returns trigger language plpgsql set search_path from current as $$
declare
  answers text;
  why     text;
begin
  perform pg_advisory_xact_lock_shared(leaving_lock(new.principal));
  select sponsor into answers from people where subject = new.principal;
  if answers is not null then perform pg_advisory_xact_lock_shared(leaving_lock(answers)); end if;
  why := leaving_why(new.principal);
  if why is not null then raise exception '%', why using errcode = 'DP001'; end if;
  return new;
end
$$;
create trigger leaving_refuses before insert or update of expires_at on grants for each row
  execute function leaving_refuses();

-- Whoever is offboarded logs in nowhere; a contractor without a sponsor still may, and sees why nothing works.
create function leaving_refuses_login() returns trigger language plpgsql set search_path from current as $$
begin
  perform pg_advisory_xact_lock_shared(leaving_lock(new.principal));
  if exists (select from people where subject = new.principal and closed_at is not null) then
    raise exception 'the account of % is closed', new.principal using errcode = 'DP001';
  end if;
  return new;
end
$$;
create trigger leaving_refuses before insert on logins for each row execute function leaving_refuses_login();
create trigger leaving_refuses before insert on login_links for each row execute function leaving_refuses_login();

-- A request refers to its person, whose row it locks in any case: that is the lock here, since two would not be taken in the
-- order in which closing takes them.
create function leaving_refuses_request() returns trigger language plpgsql set search_path from current as $$
declare
  why text;
begin
  perform from people p where p.subject = new.principal for share;
  perform from people p where p.subject = (select sponsor from people where subject = new.principal) for share;
  why := leaving_why(new.principal);
  if why is not null then raise exception '%', why using errcode = 'DP001'; end if;
  return new;
end
$$;
create trigger leaving_refuses before insert on access_requests for each row execute function leaving_refuses_request();
