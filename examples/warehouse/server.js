// The service on a port: /graphql for the gateway, /health for Modplane.

import { createServer } from 'node:http';

import { ApolloServer, HeaderMap } from '@apollo/server';
import { ApolloServerPluginInlineTraceDisabled } from '@apollo/server/plugin/disabled';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { parse } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

import { contextFor, resolvers } from './resolvers.js';
import { Refused } from './verification.js';

const BODY_BYTES_MAX = 1024 * 1024;
const CLOSE_MS = 3_000; // what still runs then is cut off
// What Modplane asks before it lets the schema into the graph: the one query that needs no caller.
const SDL_QUERY = '{ _service { sdl } }';

/** @returns {Promise<{close: () => Promise<void>}>} listening */
export async function listen({ host, port, sdl, stock, verify }) {
  const schema = buildSubgraphSchema([{ typeDefs: parse(sdl), resolvers }]);
  const apollo = new ApolloServer({
    schema,
    introspection: false,
    includeStacktraceInErrorResponses: false,
    stopOnTerminationSignals: false,
    plugins: [ApolloServerPluginInlineTraceDisabled()],
  });
  await apollo.start();
  const counts = { graphql: 0, streams: () => sockets.clients.size };
  const server = createServer(async (request, response) => {
    try {
      await route(request, response, { apollo, stock, verify, counts });
    } catch (error) {
      const known = error instanceof Refused ? error : new Refused(500, 'INTERNAL_SERVER_ERROR', 'Unexpected error.');
      if (known !== error) {
        console.error(error);
      }
      answer(response, known.status, { errors: [{ message: known.message, extensions: { code: known.code } }] });
    }
  });
  server.keepAliveTimeout = 75_000; // longer than the gateway keeps idle connections: it would send just as one is closed
  const sockets = new WebSocketServer({ server, path: '/graphql', maxPayload: BODY_BYTES_MAX });
  const streams = acceptStreams(sockets, { schema, stock, verify });
  await new Promise((resolve, reject) => server.once('error', reject).listen({ host, port }, resolve));
  return {
    async close() {
      await streams.dispose();
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), CLOSE_MS).unref();
      });
      await apollo.stop();
    },
  };
}

/** Live streams come over a WebSocket of the gateway's, one for each caller: the first message has both tokens. */
function acceptStreams(sockets, { schema, stock, verify }) {
  return useServer({
    schema,
    async onConnect(socket) {
      try {
        socket.extra.identity = await verify(socket.connectionParams ?? {}, '');
        return true;
      } catch {
        return false; // closes with 4403
      }
    },
    context: (socket) => contextFor(stock, socket.extra.identity),
  }, sockets);
}

async function route(request, response, { apollo, stock, verify, counts }) {
  if (request.method === 'GET' && request.url === '/health') {
    answer(response, 200, { status: 'healthy', graphqlRequests: counts.graphql, streams: counts.streams() });
  } else if (request.method === 'POST' && request.url === '/graphql') {
    const body = await read(request);
    const asked = parsed(body);
    const isForSdl = asked.query === SDL_QUERY;
    counts.graphql += isForSdl ? 0 : 1;
    const identity = isForSdl ? {} : await verify(request.headers, body);
    await execute(apollo, asked, () => contextFor(stock, identity), response);
  } else {
    throw new Refused(404, 'NOT_FOUND', 'There is /graphql and /health.');
  }
}

async function execute(apollo, body, context, response) {
  const headers = new HeaderMap([['content-type', 'application/json']]);
  const result = await apollo.executeHTTPGraphQLRequest({
    httpGraphQLRequest: { method: 'POST', headers, search: '', body },
    context,
  });
  response.writeHead(result.status ?? 200, Object.fromEntries(result.headers)).end(result.body.string);
}

async function read(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) {
      throw new Refused(413, 'PAYLOAD_TOO_LARGE', `Bodies are limited to ${BODY_BYTES_MAX} bytes.`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parsed(body) {
  try {
    const value = JSON.parse(body.toString('utf8'));
    if (value !== null && typeof value === 'object') {
      return value;
    }
  } catch {
    // said below
  }
  throw new Refused(400, 'BAD_REQUEST', 'The body has to be a JSON object.');
}

function answer(response, status, content) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(content));
}
