// Who calls: what is taken from the request, and kept with the operation.

import { randomUUID } from 'node:crypto';

import { unauthenticated } from './errors.js';

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
const REQUEST_ID = /^[\w.:-]{1,100}$/;
const TOKEN_LENGTH_MAX = 8_192;

/**
 * @typedef {{authorization: string|null, traceparent: string|null, requestId: string}} Caller
 * @param {Record<string, unknown>} headers of the request, or of the handshake
 * @param {Record<string, unknown>} [connectionParams] of a WebSocket, where a page puts what it cannot put into headers
 * @returns {Caller} throws UNAUTHENTICATED for a token in no known form
 */
export function callerOf(headers, connectionParams = {}) {
  const given = Object.fromEntries(Object.entries(connectionParams).map(([name, value]) => [name.toLowerCase(), value]));
  const text = (name, form) => [given[name], headers[name]].find((each) => typeof each === 'string' && form.test(each));
  return {
    authorization: bearer(given.authorization ?? bare(given.token) ?? headers.authorization),
    traceparent: text('traceparent', TRACEPARENT) ?? null,
    requestId: text('x-request-id', REQUEST_ID) ?? randomUUID(),
  };
}

function bare(token) {
  return typeof token === 'string' && !/^bearer /i.test(token) ? `Bearer ${token}` : token;
}

function bearer(value) {
  if (value === undefined || value === null) {
    return null;
  }
  if (typeof value !== 'string' || value.length > TOKEN_LENGTH_MAX || !/^bearer [\w.~+/=-]+$/i.test(value)) {
    throw unauthenticated("The Authorization header must be 'Bearer <token>'.");
  }
  return value;
}
