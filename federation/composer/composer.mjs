// Composes subgraphs: one JSON line in, one JSON line out, until standard input ends.
//
// The main thread only passes lines on, so that the process ends with its parent also in the middle of a composition
// that never ends. How long one may take, and what happens after a crash, is decided by the parent (composer.py).
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { isMainThread, parentPort, Worker } from "node:worker_threads";

const LIBRARY = "@theguild/federation-composition";
const ERRORS_MAX = 50;
const MESSAGE_LENGTH_MAX = 2000;

if (isMainThread) {
  relay();
} else {
  await work();
}

function relay() {
  const maxOldGenerationSizeMb = Number(process.argv[2] ?? 512);
  const worker = new Worker(new URL(import.meta.url), { resourceLimits: { maxOldGenerationSizeMb } });
  worker.on("message", (answer) => process.stdout.write(answer + "\n"));
  worker.on("error", () => process.exit(1)); // out of memory, above all
  worker.on("exit", () => process.exit(1));
  process.stdout.on("error", () => process.exit(1));
  createInterface({ input: process.stdin, crlfDelay: Infinity })
    .on("line", (line) => worker.postMessage(line))
    .on("close", () => process.exit(0));
}

async function work() {
  const { composeSchemaContract, composeServices } = await import(LIBRARY);
  const { parse, Source } = await import("graphql");
  const manifest = new URL(`node_modules/${LIBRARY}/package.json`, import.meta.url);
  const composer = `${LIBRARY} ${JSON.parse(readFileSync(manifest, "utf8")).version}`;
  parentPort.on("message", (line) => {
    const request = JSON.parse(line);
    parentPort.postMessage(JSON.stringify({ id: request.id, composer, ...answer(request) }));
  });

  function answer({ op, subgraphs = [], exclude = [] }) {
    try {
      if (op === "version") return {};
      // a source of its own for each, so that an error can say in whose lines it is
      const services = subgraphs.map(({ name, url, typeDefs }) => ({
        name, url, typeDefs: parse(new Source(typeDefs, name)),
      }));
      const result = op === "contract"
        ? composeSchemaContract(services, { include: new Set(), exclude: new Set(exclude) })
        : composeServices(services);
      if (result.errors?.length) return { errors: result.errors.slice(0, ERRORS_MAX).map(describe) };
      return { supergraphSdl: result.supergraphSdl, publicSdl: result.publicSdl };
    } catch (error) {
      return { errors: [describe(error)] };
    }
  }
}

function describe(error) {
  return {
    message: String(error?.message ?? error).slice(0, MESSAGE_LENGTH_MAX),
    code: error?.extensions?.code ?? (error?.name === "GraphQLError" ? "INVALID_GRAPHQL" : "COMPOSER_FAILED"),
    subgraph: error?.source?.name ?? null,
    line: error?.locations?.[0]?.line ?? null,
    column: error?.locations?.[0]?.column ?? null,
  };
}
