// Starts the gateway: keys, supergraph, port. Then asks for news of the supergraph until it is told to end.

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { Logger } from '@graphql-hive/gateway-runtime';

import { Identities } from './identity.js';
import { Gateway } from './runtime.js';
import { listen } from './server.js';
import { readSettings } from './settings.js';
import { createSigner } from './signing.js';
import { Artifacts, LastGood } from './supergraph.js';

const settings = readSettings();
const log = new Logger({ level: settings.logLevel });
const end = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => end.abort());
}

/** Modplane makes both keys at its first start; until then there is nothing to begin with. */
async function readKeys() {
  for (let tries = 0; ; tries += 1) {
    try {
      const key = settings.key ?? (await readFile(settings.keyFile, 'utf8')).trim();
      return { key, signFor: createSigner(await readFile(settings.signingKeyFile, 'utf8')) };
    } catch (error) {
      if (error.code !== 'ENOENT') {
        throw error;
      }
      if (tries === 0) {
        console.error(`waiting for ${error.path}: start Modplane, or set MODPLANE_DATA_DIR to its data directory`);
      }
      await sleep(500, undefined, { signal: end.signal });
    }
  }
}

/** The newest supergraph if it is good, otherwise the last that was; waits until there is one. */
async function begin(gateway, artifacts, lastGood) {
  for (let tries = 0; ; tries += 1) {
    if (await refresh(gateway, artifacts, lastGood)) {
      return;
    }
    const kept = tries === 0 ? await lastGood.read() : null;
    if (kept && (await gateway.serve(kept))) {
      console.error('beginning with the supergraph that was kept: Modplane has no better one at the moment');
      return;
    }
    if (tries === 0) {
      console.error('waiting for a supergraph: Modplane has none yet, and none was kept');
    }
    await sleep(1_000, undefined, { signal: end.signal });
  }
}

/** @returns {Promise<boolean>} whether a new supergraph is served now */
async function refresh(gateway, artifacts, lastGood) {
  let sdl;
  try {
    sdl = await artifacts.fetch();
  } catch (error) {
    log.warn({ error: String(error.cause ?? error) }, 'The supergraph could not be asked for');
    return false;
  }
  if (sdl === null || !(await gateway.serve(sdl))) {
    return false;
  }
  try {
    await lastGood.write(sdl);
  } catch (error) {
    // It is served all the same: only a gateway that begins without Modplane would miss it.
    log.error({ error: String(error) }, 'The supergraph could not be kept');
  }
  return true;
}

async function run() {
  const { key, signFor } = await readKeys();
  const identities = new Identities({ platformUrl: settings.platformUrl, key, log });
  const gateway = new Gateway({ identities, signFor, settings, log });
  const artifacts = new Artifacts({ platformUrl: settings.platformUrl, target: settings.target, key });
  const lastGood = new LastGood(settings.lastGoodFile);
  await begin(gateway, artifacts, lastGood);
  const server = await listen(gateway.runtime, settings);
  console.log(`ready: ${server.address}`);
  try {
    while (true) {
      await sleep(settings.pollSeconds * 1_000, undefined, { signal: end.signal });
      await refresh(gateway, artifacts, lastGood);
    }
  } finally {
    await server.close();
    await gateway.runtime.dispose();
  }
}

// Node ends a program that waits for timers of AbortSignal only, and a fetch whose connection was reset can be just that.
const alive = setInterval(() => {}, 60_000);
try {
  await run();
} catch (error) {
  if (error.name !== 'AbortError') {
    console.error(String(error.message ?? error));
    process.exitCode = 1;
  }
} finally {
  clearInterval(alive);
}
