// A live stream of a subgraph: a WebSocket of its own, and a bounded queue of what the client has not taken yet.

import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

import { PLATFORM, forClient, inStream, subgraphUnavailable, tooSlow, unauthenticated } from './errors.js';
import { CLOSE_MS, EVENTS_WAITING_MAX, EVENT_BYTES_MAX, KEEP_ALIVE_MS, SUBGRAPH_MS } from './limits.js';

const FORBIDDEN_CLOSE = 4403; // what Modplane closes a socket with when its token is revoked, or has run out

/**
 * @param {URL} location of the subgraph, over HTTP
 * @param {object} payload query, variables, operationName
 * @param {{connectionParams: () => object, log: object, answerMs?: number, keepAliveMs?: number}} options `answerMs`: how
 *   long the subgraph may take to open the stream, and to say that it is still there when asked every `keepAliveMs`
 * @returns {AsyncIterableIterator<object>} its return() ends the stream at once, also while it waits for an event
 */
export function listen(subgraph, location, payload, options) {
  const { connectionParams, log, answerMs = SUBGRAPH_MS, keepAliveMs = KEEP_ALIVE_MS } = options;
  const url = new URL(location);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  let silence;
  const isHeard = () => clearTimeout(silence);
  const hasToBeHeard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => client.terminate(), answerMs);
  };
  const client = createClient({
    url: url.href,
    webSocketImpl: boundedSocket(answerMs),
    connectionParams,
    keepAlive: keepAliveMs,
    retryAttempts: 0, // the client resumes by its cursor: a new stream in the middle would lose events silently
    on: {
      opened: hasToBeHeard,
      connected: isHeard,
      ping: (isReceived) => isReceived || hasToBeHeard(),
      pong: (isReceived) => isReceived && isHeard(),
      error: isHeard,
      closed: isHeard,
    },
  });
  // While the connection is being made this waits for it and fails with it, which uncaught would end the gateway.
  const queue = boundedQueue(() => client.dispose().catch(() => {}));
  client.subscribe(payload, {
    next: (event) => queue.put(forClient(subgraph, event, log)),
    error(error) {
      queue.put(endOf(subgraph, error, log));
      queue.end();
    },
    complete: () => queue.end(),
  });
  return queue.events;
}

/** A socket to a service that may be slow, silent, or send too much: of itself it would wait, or take in, without end. */
function boundedSocket(handshakeTimeout) {
  return class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { handshakeTimeout, closeTimeout: CLOSE_MS, maxPayload: EVENT_BYTES_MAX, perMessageDeflate: false });
      this.on('error', () => {}); // one that is ended while it opens says so when nobody listens any more
    }
  };
}

/** The last event of a stream that failed: errors of GraphQL as they are, all else is a service that went away. */
function endOf(subgraph, error, log) {
  if (Array.isArray(error)) {
    return forClient(subgraph, { data: null, errors: error }, log);
  }
  if (subgraph === PLATFORM && error.code === FORBIDDEN_CLOSE) {
    return { data: null, errors: [inStream(unauthenticated(error.reason))] };
  }
  log.warn({ subgraph, error: String(error.reason || error.message || error) }, 'A live stream of a subgraph ended');
  return { data: null, errors: [subgraphUnavailable(subgraph)] };
}

/** Whoever lets too much wait loses it, is told so, and is at the end. */
function boundedQueue(onEnd) {
  const waiting = [];
  let take = null; // resolves the next() that waits
  let isEnded = false;

  function put(event) {
    if (isEnded) {
      return;
    }
    if (take) {
      take({ done: false, value: event });
      take = null;
    } else if (waiting.length < EVENTS_WAITING_MAX) {
      waiting.push(event);
    } else {
      waiting.length = 0;
      waiting.push({ data: null, errors: [tooSlow()] });
      end();
    }
  }

  function end() {
    if (!isEnded) {
      isEnded = true;
      take?.({ done: true, value: undefined });
      take = null;
      onEnd();
    }
  }

  const events = {
    [Symbol.asyncIterator]: () => events,
    async next() {
      if (waiting.length > 0) {
        return { done: false, value: waiting.shift() };
      }
      return isEnded ? { done: true, value: undefined } : new Promise((resolve) => { take = resolve; });
    },
    async return() {
      waiting.length = 0;
      end();
      return { done: true, value: undefined };
    },
  };
  return { put, end, events };
}
