import pg from 'pg';
import { z } from 'zod';
import type { Connection } from '../cluster.js';

const summarySchema = z.object({
  id: z.coerce.number(),
  status: z.string(),
  customer: z.string(),
  country: z.string(),
  currency: z.string(),
  total_cents: z.coerce.number(),
  lines: z.coerce.number(),
  pieces: z.coerce.number(),
  attempts: z.number(),
  placed_at: z.date(),
  updated_at: z.date(),
});
const itemSchema = z.object({
  sku: z.string(),
  description: z.string(),
  quantity: z.number(),
  unit_cents: z.coerce.number(),
});
const countSchema = z.object({ status: z.string(), orders: z.coerce.number() });

export type OrderSummary = z.infer<typeof summarySchema>;
export type OrderItem = z.infer<typeof itemSchema>;
export type StatusCount = z.infer<typeof countSchema>;

export interface Order extends OrderSummary {
  readonly items: readonly OrderItem[];
}

/** How many orders a page of the list shows. */
export const PAGE_SIZE = 25;

/** What the orders web app asks of its database. */
export class Orders {
  readonly #pool: pg.Pool;

  constructor(connection: Connection, onError: (failure: Error) => void) {
    this.#pool = new pg.Pool({ ...connection, max: 4, application_name: 'orders-web' });
    this.#pool.on('error', onError);
  }

  /** One page, the newest first; pages count from 1. */
  async list(status: string | undefined, page: number): Promise<OrderSummary[]> {
    const { rows } = await this.#pool.query(
      'select * from order_summary where $1::text is null or status = $1 order by placed_at desc, id desc limit $2 offset $3',
      [status ?? null, PAGE_SIZE, (page - 1) * PAGE_SIZE],
    );
    return z.array(summarySchema).parse(rows);
  }

  async find(id: number): Promise<Order | undefined> {
    const found = await this.#pool.query('select * from order_summary where id = $1', [id]);
    if (found.rows.length === 0) return undefined;
    const items = await this.#pool.query(
      'select sku, description, quantity, unit_cents from order_items where order_id = $1 order by id',
      [id],
    );
    return { ...summarySchema.parse(found.rows[0]), items: z.array(itemSchema).parse(items.rows) };
  }

  async counts(): Promise<StatusCount[]> {
    const { rows } = await this.#pool.query(
      'select status, count(*) as orders from orders group by status order by status',
    );
    return z.array(countSchema).parse(rows);
  }

  /** Puts a stuck order back in the line. @returns whether there is such an order */
  async retry(id: number): Promise<boolean> {
    const sql = `update orders set attempts = attempts + 1, updated_at = now(), note = null,
      status = case status when 'stuck' then 'packed' else status end where id = $1`;
    return (await this.#pool.query(sql, [id])).rowCount === 1;
  }

  /** @returns whether there was such an order */
  async remove(id: number): Promise<boolean> {
    return (await this.#pool.query('delete from orders where id = $1', [id])).rowCount === 1;
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
}
