-- Access does not outlast the account it is for: neither a grant of an operator's nor a renewal goes beyond its end.
create or replace function leaving_refuses() returns trigger language plpgsql set search_path from current as $$
declare
  answers text;
  ends    timestamptz;
  why     text;
begin
  perform pg_advisory_xact_lock_shared(leaving_lock(new.principal));
  select sponsor, ends_at into answers, ends from people where subject = new.principal;
  if answers is not null then perform pg_advisory_xact_lock_shared(leaving_lock(answers)); end if;
  why := leaving_why(new.principal);
  if why is null and new.expires_at > ends then
    why := format('the account of %s ends at %s, and access no later', new.principal,
      to_char(ends at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
  end if;
  if why is not null then raise exception '%', why using errcode = 'DP001'; end if;
  return new;
end
$$;
