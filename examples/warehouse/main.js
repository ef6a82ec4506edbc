// Starts the warehouse, joins the graph, and leaves in order when it is told to end.

import { readFile } from 'node:fs/promises';

import { Stock } from './database.js';
import { Registration } from './registration.js';
import { listen } from './server.js';
import { createVerifier } from './verification.js';

const { env } = process;
const platformUrl = (env.MODPLANE_URL ?? 'http://127.0.0.1:8000').replace(/\/$/, '');
const host = env.WAREHOUSE_HOST ?? '127.0.0.1';
const port = Number(env.WAREHOUSE_PORT ?? 8002);
const serviceUrl = env.WAREHOUSE_URL ?? `http://${host}:${port}`;

const end = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => end.abort());
}

async function run() {
  if (!env.DATABASE_URL || !env.MODPLANE_MODULE_API_KEY) {
    throw new Error('set DATABASE_URL and MODPLANE_MODULE_API_KEY (README.md says where from)');
  }
  const here = (name) => readFile(new URL(name, import.meta.url), 'utf8');
  const [sdl, manifest] = [await here('schema.graphql'), JSON.parse(await here('manifest.json'))];
  const stock = new Stock(env.DATABASE_URL);
  await stock.prepare();
  const server = await listen({ host, port, sdl, stock, verify: createVerifier(platformUrl) });
  console.log(`ready: ${serviceUrl}`);
  const registration = new Registration({
    platformUrl, apiKey: env.MODPLANE_MODULE_API_KEY, manifest, sdl, serviceUrl,
  });
  await registration.keep(end.signal);
  await registration.leave().catch((error) => console.error(error.message));
  await server.close();
  await stock.close();
}

try {
  await run();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
