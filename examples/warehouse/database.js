// The stock, in a schema of its own. Every statement names the organization: rows of others are never read.

import { EventEmitter } from 'node:events';

import pg from 'pg';

const TABLES = `
  CREATE SCHEMA IF NOT EXISTS warehouse;
  CREATE TABLE IF NOT EXISTS warehouse.stock (
    organization_id uuid NOT NULL,
    company_id uuid NOT NULL,
    sku text NOT NULL CHECK (length(sku) BETWEEN 1 AND 100),
    quantity integer NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (organization_id, company_id, sku)
  )`;
const SHOWN_MAX = 1_000;

export class Stock {
  #pool;
  /** Rows as they change, by `channelOf` their tenant. In this process: with several, a stream hears its own only. */
  moves = new EventEmitter().setMaxListeners(0);

  constructor(url) {
    this.#pool = new pg.Pool({ connectionString: url, max: 5, statement_timeout: 5_000 });
    this.#pool.on('error', (error) => console.error(`a connection was lost: ${error.message}`));
  }

  async prepare() {
    await this.#pool.query(TABLES);
  }

  /**
   * @param {{organization: string, company: string|null}} tenant a caller bound to a company sees that one only
   * @returns {Promise<{companyId: string, sku: string, quantity: number}[]>}
   */
  async ofCompanies(tenant, companyIds) {
    const { rows } = await this.#pool.query(
      `SELECT company_id AS "companyId", sku, quantity FROM warehouse.stock
        WHERE organization_id = $1 AND company_id = ANY($2::uuid[]) AND ($3::uuid IS NULL OR company_id = $3)
        ORDER BY sku LIMIT $4`,
      [tenant.organization, companyIds, tenant.company, SHOWN_MAX],
    );
    return rows;
  }

  /** Over all companies. `sku`: only this article. */
  async ofOrganization(tenant, sku = null) {
    const { rows } = await this.#pool.query(
      `SELECT sku, sum(quantity)::int AS quantity FROM warehouse.stock
        WHERE organization_id = $1 AND ($2::uuid IS NULL OR company_id = $2) AND ($3::text IS NULL OR sku = $3)
        GROUP BY sku ORDER BY sku LIMIT $4`,
      [tenant.organization, tenant.company, sku, SHOWN_MAX],
    );
    return rows;
  }

  async receive(tenant, companyId, sku, quantity) {
    const { rows } = await this.#pool.query(
      `INSERT INTO warehouse.stock AS s VALUES ($1, $2, $3, greatest($4, 0))
        ON CONFLICT (organization_id, company_id, sku) DO UPDATE SET quantity = greatest(s.quantity + $4, 0)
        RETURNING sku, quantity`,
      [tenant.organization, companyId, sku, quantity],
    );
    for (const company of [null, companyId]) {
      this.moves.emit(channelOf({ ...tenant, company }), rows[0]);
    }
    return rows[0];
  }

  async close() {
    await this.#pool.end();
  }
}

export function channelOf({ organization, company }) {
  return `${organization}/${company?.toLowerCase() ?? ''}`;
}
