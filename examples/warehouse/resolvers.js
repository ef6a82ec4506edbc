// The fields of schema.graphql. The tenant is the identity's: arguments and references never choose one.

import { on } from 'node:events';

import DataLoader from 'dataloader';
import { GraphQLError } from 'graphql';

import { channelOf } from './database.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What one request shares: who asks, and stock that is read for all its companies at once. */
export function contextFor(stock, identity) {
  const tenant = { organization: identity.org ?? null, company: identity.company ?? null };
  const stockByCompany = new DataLoader(async (ids) => {
    const rows = await stock.ofCompanies(tenant, ids);
    return ids.map((id) => rows.filter((row) => row.companyId === id.toLowerCase()));
  });
  return { stock, tenant, stockByCompany };
}

export const resolvers = {
  Query: {
    async warehouseArticle(_, { sku }, { stock, tenant }) {
      const [found] = await stock.ofOrganization(requireTenant(tenant), sku);
      return found ?? null;
    },
  },
  Mutation: {
    receiveWarehouseGoods(_, { companyId, sku, quantity }, { stock, tenant }) {
      if (!UUID.test(companyId) || sku.length < 1 || sku.length > 100 || Math.abs(quantity) > 1_000_000) {
        throw refusal('BAD_USER_INPUT', 'A company has an id, an article 1 to 100 letters; move up to a million at once.');
      }
      const { company } = requireTenant(tenant);
      if (company !== null && company !== companyId.toLowerCase()) {
        throw refusal('FORBIDDEN', 'This is the stock of another company.');
      }
      return stock.receive(tenant, companyId, sku, quantity);
    },
  },
  Subscription: {
    warehouseMoved: {
      subscribe: (_, __, { stock, tenant }) => on(stock.moves, channelOf(requireTenant(tenant))),
      resolve: ([row]) => row,
    },
  },
  Company: {
    warehouseStock({ id }, _, { stockByCompany, tenant }) {
      return tenant.organization === null ? null : stockByCompany.load(id);
    },
  },
  Organization: {
    warehouseStock({ id }, _, { stock, tenant }) {
      return id === tenant.organization ? stock.ofOrganization(tenant) : null;
    },
  },
};

function requireTenant(tenant) {
  if (tenant.organization === null) {
    throw refusal('FORBIDDEN', 'Only callers of an organization have a warehouse.');
  }
  return tenant;
}

function refusal(code, message) {
  return new GraphQLError(message, { extensions: { code } });
}
