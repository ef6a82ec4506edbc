// Mercurius with its JIT from the first execution on, batching by its own loaders.
import { readFileSync } from "node:fs";
import Fastify from "fastify";
import mercurius from "mercurius";
import * as store from "./store.mjs";

const EVENTS = "module-events";
const one = (batch) => (queries) => batch(queries.map(({ obj }) => obj));

const resolvers = {
  Query: {
    modules: (_, { first }) => store.modulePage(first),
    organization: async (_, { id }) => (await store.organizationsById([id]))[0],
  },
  Mutation: { assignModule: (_, { input }) => store.assign(input) },
  Subscription: {
    moduleEvents: {
      subscribe: (_, { organizationId }, { pubsub }) => pubsub.subscribe(`${EVENTS}:${organizationId}`),
      resolve: (event) => event,
    },
  },
};

const loaders = {
  Organization: {
    industry: one((found) => store.industriesByCode(found.map((each) => each.industryCode))),
    modules: one((found) => store.assignmentsByOrganization(found.map((each) => each.id))),
    companies: (queries) => {
      const { first } = queries[0].params;
      return store.companiesByOrganization(queries.map(({ obj }) => obj.id), first);
    },
  },
  ModuleAssignment: { module: one((found) => store.modulesByCode(found.map((each) => each.moduleCode))) },
  Company: { effectiveConfigs: one(store.configsByCompany) },
  EffectiveConfig: { module: one((found) => store.modulesByCode(found.map((each) => each.moduleCode))) },
};

const app = Fastify({ logger: false });
app.register(mercurius, {
  schema: readFileSync(new URL("schema.graphql", import.meta.url), "utf8"),
  resolvers,
  loaders,
  jit: 1,
  subscription: true,
});
// How the benchmark has an event told to all subscribers: from this process's own emitter, no broker between.
app.post("/publish", (request) => {
  const { organizationId, event } = request.body;
  app.graphql.pubsub.publish({ topic: `${EVENTS}:${organizationId}`, payload: event });
  return {};
});
await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
console.log("ready");
process.on("SIGTERM", () => process.exit(0));
