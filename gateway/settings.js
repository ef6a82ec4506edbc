// What the gateway is told from outside: the environment. Nobody else reads it.

import path from 'node:path';

const POLL_SECONDS = 2;

/** @returns {Readonly<object>} plain values; throws an Error that names the variable which is wrong. */
export function readSettings(env = process.env) {
  const dataDir = path.resolve(env.MODPLANE_DATA_DIR ?? '.modplane');
  const keysDir = path.join(dataDir, 'keys');
  return Object.freeze({
    platformUrl: baseUrl(env.MODPLANE_URL ?? 'http://127.0.0.1:8000'),
    target: env.MODPLANE_GATEWAY_TARGET ?? 'current',
    host: env.MODPLANE_GATEWAY_HOST ?? '127.0.0.1',
    port: wholeNumber('MODPLANE_GATEWAY_PORT', env.MODPLANE_GATEWAY_PORT ?? '4000', 0, 65_535),
    key: env.MODPLANE_GATEWAY_KEY,
    keyFile: path.join(keysDir, 'gateway.key'),
    signingKeyFile: env.MODPLANE_GATEWAY_PRIVATE_KEY_FILE ?? path.join(keysDir, 'gateway.pem'),
    lastGoodFile: env.MODPLANE_GATEWAY_LAST_GOOD ?? path.join(dataDir, 'gateway', 'supergraph.graphql'),
    pollSeconds: wholeNumber('MODPLANE_GATEWAY_POLL_SECONDS', env.MODPLANE_GATEWAY_POLL_SECONDS ?? `${POLL_SECONDS}`, 1, 600),
    hasIntrospection: env.MODPLANE_GATEWAY_INTROSPECTION === '1',
    logLevel: env.MODPLANE_GATEWAY_LOG ?? 'warn',
  });
}

function baseUrl(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new Error(`MODPLANE_URL is not an address of HTTP: ${text}`);
  }
  return url.href.replace(/\/$/, '');
}

function wholeNumber(name, text, min, max) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new Error(`${name} has to be a whole number from ${min} to ${max}, and is ${text}`);
  }
  return value;
}
