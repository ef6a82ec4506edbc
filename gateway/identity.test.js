// What is kept of the answers about who is asking. The platform is a server of this test's own.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Identities } from './identity.js';
import { IDENTITY_MS } from './limits.js';

test('answers that are too old to be taken are not kept', async () => {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ subject: null, roles: [], policies: [], identities: {} }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const identities = new Identities({ platformUrl: `http://127.0.0.1:${server.address().port}`, key: 'key', log: console });
  try {
    await Promise.all(Array.from({ length: 50 }, (_, number) => identities.get(`Bearer ${number}`, IDENTITY_MS)));
    assert.equal(identities.size, 50);
    await sleep(IDENTITY_MS + 50);
    await identities.get('Bearer x', IDENTITY_MS);
    assert.equal(identities.size, 1);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
