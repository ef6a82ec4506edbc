// Apollo Server as its own standalone HTTP server, batching by a DataLoader per kind of thing and request.
import { readFileSync } from "node:fs";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import DataLoader from "dataloader";
import * as store from "./store.mjs";

const loaders = () => ({
  module: new DataLoader(store.modulesByCode),
  organization: new DataLoader(store.organizationsById),
  industry: new DataLoader(store.industriesByCode),
  assignments: new DataLoader(store.assignmentsByOrganization),
  configs: new DataLoader(store.configsByCompany, { cacheKeyFn: (company) => company.id }),
});

const resolvers = {
  Query: {
    modules: (_, { first }) => store.modulePage(first),
    organization: (_, { id }, context) => context.organization.load(id),
  },
  Mutation: { assignModule: (_, { input }) => store.assign(input) },
  Organization: {
    industry: (organization, _, context) => context.industry.load(organization.industryCode),
    modules: (organization, _, context) => context.assignments.load(organization.id),
    companies: async (organization, { first }) => (await store.companiesByOrganization([organization.id], first))[0],
  },
  ModuleAssignment: { module: (assignment, _, context) => context.module.load(assignment.moduleCode) },
  Company: { effectiveConfigs: (company, _, context) => context.configs.load(company) },
  EffectiveConfig: { module: (config, _, context) => context.module.load(config.moduleCode) },
};

// Apollo Server has no subscriptions of its own; the schema's are left out.
const typeDefs = readFileSync(new URL("schema.graphql", import.meta.url), "utf8").replace(
  /type Subscription \{[^}]*\}/,
  "",
);
const server = new ApolloServer({ typeDefs, resolvers });
await startStandaloneServer(server, {
  context: async () => loaders(),
  listen: { host: "127.0.0.1", port: Number(process.env.PORT) },
});
console.log("ready");
process.on("SIGTERM", () => process.exit(0));
