// A live stream whose client does not take what arrives: real sockets, a real server of the protocol.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { buildSchema } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

import { forClient } from './errors.js';
import { EVENTS_WAITING_MAX, EVENT_BYTES_MAX } from './limits.js';
import { listen } from './upstream.js';

const log = { warn() {} };
const schema = buildSchema('type Query { a: Int } type Subscription { tick: Int }');

/** Runs `use` with the address of a subgraph that sends so many events at once, and what it was told at first. */
async function withSubgraph(count, use) {
  async function* tick() {
    for (let number = 0; number < count; number += 1) {
      yield { tick: number };
    }
  }
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new WebSocketServer({ server });
  const told = [];
  const running = useServer({ schema, roots: { subscription: { tick } }, onConnect: (s) => { told.push(s.connectionParams); } }, sockets);
  try {
    await use(new URL(`http://127.0.0.1:${server.address().port}/graphql`), told, sockets);
  } finally {
    await running.dispose();
    server.close();
  }
}

const start = (location, pace = {}) => listen('ticking', location, { query: 'subscription { tick }' }, {
  connectionParams: () => ({ 'x-modplane-gateway': 'signed' }),
  log,
  ...pace,
});

/** Runs `use` with the address of a server whose sockets, of TCP or once they are open WebSockets, are `handle`d. */
async function withSockets({ tcp, webSocket }, use) {
  const server = tcp ? createTcpServer(tcp) : createServer();
  const sockets = webSocket && new WebSocketServer({ server, handleProtocols: () => 'graphql-transport-ws' });
  sockets?.on('connection', (socket) => {
    socket.on('error', () => {});
    webSocket(socket);
  });
  const connections = new Set();
  server.on('connection', (each) => connections.add(each));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await use(new URL(`http://127.0.0.1:${server.address().port}/graphql`));
  } finally {
    connections.forEach((each) => each.destroy());
    server.close();
  }
}

/** Acknowledges, and answers the subscription with these messages. */
const answering = (messages) => (socket) => socket.on('message', (data) => {
  const { type, id } = JSON.parse(data);
  const answers = { connection_init: [{ type: 'connection_ack' }], subscribe: messages.map((each) => ({ id, ...each })) }[type];
  answers?.forEach((each) => socket.send(JSON.stringify(each)));
});

const UNAVAILABLE = [{ data: null, errors: [{ code: 'SUBGRAPH_UNAVAILABLE', subgraph: 'ticking' }] }];
const seen = (events) => events.map(({ errors, ...event }) => (errors ? { ...event, errors: errors.map((each) => each.extensions) } : event));

async function all(events) {
  const found = [];
  for await (const event of events) {
    found.push(event);
  }
  return found;
}

test('events come in order, to the end, over a socket that was opened with the signature', async () => {
  await withSubgraph(3, async (location, told) => {
    const found = await all(start(location));
    assert.deepEqual(found.map((event) => event.data.tick), [0, 1, 2]);
    assert.deepEqual(told, [{ 'x-modplane-gateway': 'signed' }]);
  });
});

test('whoever takes nothing is told to begin again, and the subgraph is left', async () => {
  await withSubgraph(EVENTS_WAITING_MAX + 1, async (location, _, sockets) => {
    const events = start(location);
    await once(sockets, 'connection').then(([socket]) => once(socket, 'close'));
    const found = await all(events);
    assert.deepEqual(found.map((event) => event.errors[0].extensions.code), ['SLOW_SUBSCRIBER']);
  });
});

test('a subgraph that is not there is the last event', async () => {
  const [event, ...more] = await all(start(new URL('http://127.0.0.1:1/graphql')));
  assert.deepEqual(event.errors[0].extensions, { code: 'SUBGRAPH_UNAVAILABLE', subgraph: 'ticking' });
  assert.deepEqual(more, []);
});

for (const [what, sockets] of [
  ['does not answer at all', { tcp: (socket) => socket.on('error', () => {}) }],
  ['opens the socket and says nothing', { webSocket: () => {} }],
]) {
  test(`a subgraph that ${what} is given up`, { timeout: 5_000 }, async () => {
    await withSockets(sockets, async (location) => {
      assert.deepEqual(seen(await all(start(location, { answerMs: 200 }))), UNAVAILABLE);
    });
  });
}

test('a subgraph that freezes while it streams is given up', { timeout: 5_000 }, async () => {
  const payload = { data: { tick: 1 } };
  await withSockets({ webSocket: answering([{ type: 'next', payload }]) }, async (location) => {
    const found = await all(start(location, { answerMs: 200, keepAliveMs: 100 }));
    assert.deepEqual(seen(found), [payload, ...UNAVAILABLE]);
  });
});

test('a subgraph that answers when it is asked may be silent for long', { timeout: 5_000 }, async () => {
  const pongs = [];
  const webSocket = (socket) => {
    answering([])(socket);
    socket.on('message', (data) => {
      if (JSON.parse(data).type === 'ping') {
        pongs.push(socket.send('{"type":"pong"}'));
      }
    });
  };
  await withSockets({ webSocket }, async (location) => {
    const events = start(location, { answerMs: 150, keepAliveMs: 50 });
    const next = events.next();
    await sleep(600);
    assert.equal(pongs.length >= 3, true);
    await events.return();
    assert.deepEqual(await next, { done: true, value: undefined });
  });
});

test('an event that is too large ends the stream', { timeout: 5_000 }, async () => {
  const payload = { data: { tick: 'x'.repeat(EVENT_BYTES_MAX) } };
  await withSockets({ webSocket: answering([{ type: 'next', payload }]) }, async (location) => {
    assert.deepEqual(seen(await all(start(location))), UNAVAILABLE);
  });
});

test('an event that is none ends the stream', { timeout: 5_000 }, async () => {
  const payload = { data: null, errors: 5 };
  await withSockets({ webSocket: answering([{ type: 'next', payload }]) }, async (location) => {
    assert.deepEqual(seen(await all(start(location))), UNAVAILABLE);
  });
});

// What nobody catches ends the whole gateway, and fails a test.
test('whoever leaves while the connection is made is not there when it breaks', { timeout: 5_000 }, async () => {
  const tcp = (socket) => setTimeout(() => socket.on('error', () => {}).destroy(), 300);
  await withSockets({ tcp }, async (location) => {
    const events = start(location);
    const next = events.next();
    await sleep(100);
    await events.return();
    assert.deepEqual(await next, { done: true, value: undefined });
    await sleep(400);
  });
});

test('a log gets one line for an answer, however many errors it has', async () => {
  const lines = [];
  const errors = Array.from({ length: 1_000 }, (_, number) => ({ message: `wrong ${number}` }));
  const answer = forClient('ticking', { data: null, errors }, { warn: (line) => lines.push(line) });
  assert.equal(answer.errors.length, 1_000);
  assert.deepEqual(lines, [{ subgraph: 'ticking', count: 1_000, error: 'wrong 0' }]);
});
