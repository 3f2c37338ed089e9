-- The orders database of the samples: what a small shop's fulfilment team would have. Run once, as orders_owner.

create table customers (
  id bigint generated always as identity primary key,
  name text not null,
  email text not null unique,
  country text not null check (country ~ '^[A-Z]{2}$'),
  created_at timestamptz not null
);

create table orders (
  id bigint generated always as identity primary key,
  customer_id bigint not null references customers,
  status text not null check (status in ('paid', 'packed', 'shipped', 'delivered', 'stuck', 'cancelled', 'refunded')),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  total_cents bigint not null check (total_cents >= 0),
  carrier text,
  attempts integer not null default 0,
  note text,
  placed_at timestamptz not null,
  updated_at timestamptz not null
);
create index orders_by_customer on orders (customer_id);
create index orders_by_status on orders (status, placed_at desc);

create table order_items (
  id bigint generated always as identity primary key,
  order_id bigint not null references orders on delete cascade,
  sku text not null,
  description text not null,
  quantity integer not null check (quantity > 0),
  unit_cents bigint not null check (unit_cents >= 0)
);
create index order_items_by_order on order_items (order_id);

-- No role of the gateway may read this one: the database itself refuses, whatever a policy says.
create table payment_methods (
  id bigint generated always as identity primary key,
  customer_id bigint not null references customers,
  brand text not null,
  last_four text not null,
  processor_token text not null
);

create view order_summary as
  select o.id, o.status, c.name as customer, c.country, o.currency, o.total_cents,
         count(i.id) as lines, coalesce(sum(i.quantity), 0) as pieces, o.attempts, o.placed_at, o.updated_at
    from orders o join customers c on c.id = o.customer_id left join order_items i on i.order_id = o.id
   group by o.id, c.id;

-- A function such as one finds in the wild: it acts with its owner's rights, and `select o.cancel_everything from orders o`
-- calls it though it looks like a column. EXECUTE is revoked from PUBLIC (roles.sql), so that no role of the gateway reaches it.
create function cancel_everything(orders) returns bigint
  language sql volatile security definer set search_path = public, pg_temp
  as $$ with gone as (update public.orders set status = 'cancelled' returning 1) select count(*) from gone $$;
