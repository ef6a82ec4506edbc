// The gateway on a port: HTTP and WebSocket, bounded, and an end in order.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { getGraphQLWSOptions } from '@graphql-hive/gateway-runtime';
import { GraphQLError } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

import { inStream } from './errors.js';
import { BODY_BYTES_MAX, CLOSE_MS, KEEP_OPEN_MS, LINGER_MS, SOCKET_INIT_MS, STREAMS_PER_SOCKET_MAX } from './limits.js';

const GRAPHQL = '/graphql';

/** @returns {Promise<{address: string, close: () => Promise<void>}>} listening */
export async function listen(runtime, { host, port }) {
  const server = createServer((request, response) => {
    const refusal = refusalOf(request);
    if (refusal) {
      refuse(request, response, refusal);
    } else {
      request.headers['x-request-id'] ??= randomUUID(); // one id: in the answer, in the log, at the subgraphs
      runtime(request, response);
    }
  });
  server.requestTimeout = 30_000;
  server.keepAliveTimeout = KEEP_OPEN_MS;
  const sockets = new WebSocketServer({ server, path: GRAPHQL, maxPayload: BODY_BYTES_MAX });
  const streams = useServer({ ...socketOptions(runtime), connectionInitWaitTimeout: SOCKET_INIT_MS }, sockets, 15_000);
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });
  return {
    address: `http://${host}:${server.address().port}${GRAPHQL}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      await streams.dispose();
      // Queries are answered by then; event streams go on for ever, and their clients resume elsewhere.
      setTimeout(() => server.closeAllConnections(), CLOSE_MS).unref();
      await closed;
    },
  };
}

function refusalOf(request) {
  if (request.headers['transfer-encoding']) {
    return [411, 'LENGTH_REQUIRED', 'Send the length of the body in Content-Length.'];
  }
  if (Number(request.headers['content-length'] ?? 0) > BODY_BYTES_MAX) {
    return [413, 'PAYLOAD_TOO_LARGE', `Bodies are limited to ${BODY_BYTES_MAX} bytes.`];
  }
  return null;
}

function refuse(request, response, [status, code, message]) {
  const body = JSON.stringify({ errors: [{ message, extensions: { code } }] });
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), connection: 'close' };
  response.writeHead(status, headers).write(body);
  // Ended at once, the answer would be lost to a client that is still sending; ended never, it could go on for ever.
  request.once('end', () => response.end());
  request.resume();
  setTimeout(() => request.socket.destroy(), LINGER_MS).unref();
}

function socketOptions(runtime) {
  const options = getGraphQLWSOptions(runtime, (socket) => ({
    req: socket.extra.request,
    socket: socket.extra.socket,
    headers: socket.extra.request.headers,
  }));
  // An operation that can't begin is answered; by itself it would close the socket, and all streams on it.
  const answered = (run) => async (args) => {
    try {
      return await run(args);
    } catch (error) {
      return { errors: [error instanceof GraphQLError ? inStream(error) : new GraphQLError('Unexpected error.')] };
    }
  };
  return {
    ...options,
    execute: answered(options.execute),
    subscribe: answered(options.subscribe),
    onSubscribe(socket, id, payload) {
      if (Object.keys(socket.subscriptions).length > STREAMS_PER_SOCKET_MAX) {
        const extensions = { code: 'TOO_MANY_SUBSCRIPTIONS' };
        return [new GraphQLError(`A socket carries ${STREAMS_PER_SOCKET_MAX} operations at once.`, { extensions })];
      }
      return options.onSubscribe(socket, id, payload);
    },
  };
}
