-- Rows for the samples: 400 customers, 4,000 orders over the last ninety days. The same at every first start, except that
-- times count back from it. Run once, as orders_owner.

insert into customers (name, email, country, created_at)
select first || ' ' || last, lower(first) || '.' || lower(last) || n || '@example.com',
       (array['DE', 'FR', 'NL', 'PL', 'ES', 'IT', 'SE', 'IE'])[1 + n * 5 % 8], now() - make_interval(days => 100 + n % 700)
  from generate_series(1, 400) as n,
       lateral (select (array['Ada', 'Bruno', 'Chiara', 'Dmitri', 'Elif', 'Femke', 'Grace', 'Hugo', 'Ines', 'Jonas', 'Karin',
                              'Luis', 'Marta', 'Nils', 'Olga', 'Pavel', 'Quinn', 'Rosa', 'Sven', 'Tariq'])[1 + n * 7 % 20],
                       (array['Almeida', 'Berg', 'Costa', 'Dubois', 'Eriksen', 'Fischer', 'Greco', 'Hansen', 'Ivanova',
                              'Jansen', 'Kowalski', 'Lindqvist', 'Moreau', 'Novak', 'Okafor', 'Petit', 'Rossi', 'Silva',
                              'Turner', 'Ueda', 'Vos', 'Weber', 'Young'])[1 + n * 11 % 23]) as person (first, last);

insert into payment_methods (customer_id, brand, last_four, processor_token)
select id, (array['visa', 'mastercard', 'sepa'])[1 + id % 3], lpad((id * 7919 % 10000)::text, 4, '0'), 'tok_' || md5('sample' || id)
  from customers;

insert into orders (customer_id, status, currency, total_cents, carrier, attempts, note, placed_at, updated_at)
select 1 + n * 37 % 400, status, case when n % 8 = 3 then 'SEK' else 'EUR' end, 0,
       case when status in ('shipped', 'delivered', 'stuck') then (array['DHL', 'PostNL', 'UPS', 'GLS'])[1 + n % 4] end,
       case status when 'stuck' then 1 + n % 3 when 'cancelled' then n % 2 else 0 end,
       case when status = 'stuck' then (array['carrier refused the label', 'address not found', 'payment capture timed out'])[1 + n % 3] end,
       placed_at, least(now(), placed_at + make_interval(hours => n % 72))
  from generate_series(1, 4000) as n,
       lateral (select now() - make_interval(mins => (4000 - n) * 32 + n % 29)) as moment (placed_at),
       lateral (select case when n % 41 = 0 then 'stuck' when n % 53 = 0 then 'refunded' when n % 31 = 0 then 'cancelled'
                            when n > 3950 then 'paid' when n > 3850 then 'packed' when n > 3600 then 'shipped'
                            else 'delivered' end) as state (status);

insert into order_items (order_id, sku, description, quantity, unit_cents)
select o.id, sku, description, 1 + (o.id + line) % 3, cents
  from orders o cross join generate_series(1, 4) as line,
       lateral (select 1 + (o.id * 13 + line * 5) % 8) as pick (product)
  join (values (1, 'KTL-100', 'Enamel kettle, 1.2 l', 4900), (2, 'MUG-012', 'Stoneware mug', 1450),
               (3, 'TRY-300', 'Oak serving tray', 3850), (4, 'LMP-210', 'Desk lamp, brass', 8900),
               (5, 'BLK-045', 'Wool blanket, grey', 7200), (6, 'KNF-018', 'Paring knife', 2350),
               (7, 'PAN-026', 'Cast-iron pan, 26 cm', 5600), (8, 'VAS-007', 'Glass vase, tall', 3100))
       as product (number, sku, description, cents) on product.number = pick.product
 where line <= 1 + o.id % 4;

update orders o set total_cents = (select sum(quantity * unit_cents) from order_items i where i.order_id = o.id);
