// How a subgraph is asked: one signed POST for queries and mutations; upstream.js has live streams.

import { print } from 'graphql';

import { PLATFORM, forClient, subgraphUnavailable } from './errors.js';
import { ANSWER_BYTES_MAX, IDENTITY_MS, SUBGRAPH_MS } from './limits.js';
import { listen } from './upstream.js';

const RETRYABLE = new Set(['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'UND_ERR_SOCKET']);

/**
 * @param {{identities: import('./identity.js').Identities, signFor: (subgraph: string, body: string) => string}} proofs
 * @returns a transport of Hive Gateway. It has nothing to dispose of, so that live streams outlive a new supergraph.
 */
export function signedTransport({ identities, signFor, log }) {
  return {
    getSubgraphExecutor({ subgraphName, transportEntry }) {
      const location = new URL(transportEntry.location);
      return async function ask(request) {
        const caller = request.context.modplane;
        const { variables, operationName } = request;
        const payload = { query: print(request.document), variables, operationName };
        const identity = await identities.get(caller.authorization, IDENTITY_MS);
        const proofs = (signed) => proofHeaders(subgraphName, caller, identity, signFor(subgraphName, signed));
        if (request.operationType === 'subscription') {
          return listen(subgraphName, location, payload, { connectionParams: () => proofs(''), log });
        }
        const body = JSON.stringify(payload);
        // Asking twice is harmless, doing twice is not.
        const attempts = request.operationType === 'query' ? 2 : 1;
        const limit = AbortSignal.timeout(SUBGRAPH_MS); // for all attempts together
        const signal = request.signal ? AbortSignal.any([limit, request.signal]) : limit;
        return post(subgraphName, location, body, () => proofs(body), { attempts, signal, log });
      };
    },
  };
}

function proofHeaders(subgraph, caller, identity, signature) {
  const headers = { 'x-modplane-gateway': signature, 'x-request-id': caller.requestId };
  if (identity.identities?.[subgraph]) {
    headers['x-modplane-identity'] = identity.identities[subgraph];
  }
  if (caller.traceparent) {
    headers.traceparent = caller.traceparent;
  }
  // A module never sees the client's token: it could use it as the client.
  if (subgraph === PLATFORM && caller.authorization !== null) {
    headers.authorization = caller.authorization;
  }
  return headers;
}

async function post(subgraph, location, body, headers, { attempts, signal, log }) {
  try {
    const response = await fetch(location, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', ...headers() },
      body,
      redirect: 'error',
      signal,
    });
    const answer = JSON.parse(await boundedText(response));
    if (!isAnswer(answer)) {
      throw new Error(`status ${response.status} without a GraphQL answer`);
    }
    return forClient(subgraph, answer, log);
  } catch (error) {
    if (attempts > 1 && RETRYABLE.has(error.cause?.code)) {
      return post(subgraph, location, body, headers, { attempts: attempts - 1, signal, log });
    }
    log.warn({ subgraph, error: String(error.cause ?? error) }, 'A subgraph does not answer');
    return { data: null, errors: [subgraphUnavailable(subgraph)] };
  }
}

function isAnswer(answer) {
  return isObject(answer) && ('data' in answer ? answer.data === null || isObject(answer.data) : Array.isArray(answer.errors));
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

async function boundedText(response) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) {
      throw new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
