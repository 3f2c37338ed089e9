-- What each role of the samples may do: the last wall behind the gateway's policy. Run at every start, as the superuser,
-- in the database "orders"; running it again changes nothing.

-- Nothing comes with being anybody.
revoke all on database orders from public;
revoke all on schema public from public;
revoke all on all tables in schema public from public;
revoke execute on all functions in schema public from public;
alter default privileges for role orders_owner revoke execute on functions from public;

-- Large objects can be written even in a read-only session, and a role that several people share could end each
-- other's sessions: PostgreSQL grants these to everybody.
revoke execute on function lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea), lo_put(oid, bigint, bytea),
  lowrite(integer, bytea), lo_unlink(oid), lo_truncate(integer, integer), lo_truncate64(integer, bigint) from public;
revoke execute on function pg_cancel_backend(integer), pg_terminate_backend(integer, bigint) from public;

grant connect on database orders to daypass_reader, daypass_fixer, orders_app;
grant usage on schema public to daypass_reader, daypass_fixer, orders_app;

alter role daypass_reader set default_transaction_read_only = on;
grant select on orders, order_items, order_summary to daypass_reader;

grant select on orders, order_items, order_summary to daypass_fixer;
grant update on orders to daypass_fixer;

-- The orders web app's own role.
grant select on customers, orders, order_items, order_summary to orders_app;
grant update, delete on orders to orders_app;
