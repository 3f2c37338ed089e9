import { type Order, type OrderSummary, PAGE_SIZE, type StatusCount } from './orders.js';

const STYLE = `
  body { font: 16px/1.5 system-ui, sans-serif; margin: 0; color: #1d2330; background: #f6f7f9 }
  header { background: #23395b; color: #fff; padding: 1rem 2rem } header a { color: #fff; text-decoration: none; font-weight: 600 }
  main { max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; width: 100%; background: #fff } th, td { text-align: left; padding: .5rem .75rem; border-bottom: 1px solid #e3e6ec }
  td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } .stuck { color: #a4281b; font-weight: 600 }
  ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .75rem } li a { background: #fff; padding: .5rem 1rem; border-radius: .5rem; display: block }
  button { font: inherit; padding: .4rem 1rem }`;

/** The first page: how many orders are in which state. */
export function homePage(counts: readonly StatusCount[]): string {
  const items = counts.map(
    ({ status, orders }) =>
      `<li><a href="/orders?status=${encodeURIComponent(status)}">${text(status)}: ${orders}</a></li>`,
  );
  return page('Orders', `<h1>Orders by status</h1><ul>${items.join('')}</ul><p><a href="/orders">All orders</a></p>`);
}

/** One page of the list. */
export function listPage(orders: readonly OrderSummary[], status: string | undefined, number: number): string {
  const rows = orders.map(
    (
      order,
    ) => `<tr><td class="n"><a href="/orders/${order.id}">${order.id}</a></td><td class="${text(order.status)}">${text(order.status)}</td>
      <td>${text(order.customer)}</td><td>${text(order.country)}</td><td class="n">${money(order.total_cents, order.currency)}</td>
      <td class="n">${order.pieces}</td><td>${moment(order.placed_at)}</td></tr>`,
  );
  const heading = `<tr><th class="n">Order</th><th>Status</th><th>Customer</th><th>Country</th><th class="n">Total</th><th class="n">Pieces</th><th>Placed</th></tr>`;
  const filter = status === undefined ? '' : `status=${encodeURIComponent(status)}&amp;`;
  const next =
    orders.length === PAGE_SIZE ? `<p><a href="/orders?${filter}page=${number + 1}">Older orders</a></p>` : '';
  const title = status === undefined ? 'All orders' : `Orders: ${status}`;
  return page(title, `<h1>${text(title)}</h1><table>${heading}${rows.join('')}</table>${next}`);
}

/** One order with its items. */
export function orderPage(order: Order): string {
  const rows = order.items.map(
    (item) => `<tr><td>${text(item.sku)}</td><td>${text(item.description)}</td><td class="n">${item.quantity}</td>
      <td class="n">${money(item.unit_cents, order.currency)}</td></tr>`,
  );
  return page(
    `Order ${order.id}`,
    `<h1>Order ${order.id}</h1>
    <p>${text(order.customer)}, ${text(order.country)}. Placed ${moment(order.placed_at)}.
      Status <span class="${text(order.status)}">${text(order.status)}</span>, ${order.attempts} retries.</p>
    <table><tr><th>Article</th><th>Description</th><th class="n">Quantity</th><th class="n">Each</th></tr>${rows.join('')}</table>
    <p>Total <strong>${money(order.total_cents, order.currency)}</strong></p>
    <form method="post" action="/orders/${order.id}/retry"><button>Retry this order</button></form>`,
  );
}

/** A page that says what went wrong. */
export function messagePage(title: string, message: string): string {
  return page(title, `<h1>${text(title)}</h1><p>${text(message)}</p>`);
}

function page(title: string, body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${text(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"><style>${STYLE}</style></head>
<body><header><a href="/">Orders (sample service)</a></header><main>${body}</main></body></html>\n`;
}

function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function money(cents: number, currency: string): string {
  return `${(cents / 100).toFixed(2)} ${text(currency)}`;
}

function moment(at: Date): string {
  return at.toISOString().slice(0, 16).replace('T', ' ');
}
