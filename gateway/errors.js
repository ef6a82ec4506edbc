// The gateway's own errors, and what clients see of the errors of subgraphs.

import { GraphQLError } from 'graphql';

export const PLATFORM = 'platform';
// Codes of libraries and not of modules: their messages are about code, or about names that may not be known.
const UNTYPED = new Set(['INTERNAL_SERVER_ERROR', 'GRAPHQL_VALIDATION_FAILED', 'GRAPHQL_PARSE_FAILED']);

/** A token that is not good, or no longer. */
export function unauthenticated(message = 'The token is not valid.') {
  return new GraphQLError(message, { extensions: { code: 'UNAUTHENTICATED', http: { status: 401 } } });
}

/** Modplane does not say who this is: nothing can be decided. */
export function platformAway() {
  return new GraphQLError('Identities cannot be checked at the moment; try again.', {
    extensions: { code: 'UNAVAILABLE', http: { status: 503, headers: { 'retry-after': '1' } } },
  });
}

/** The same without what is only for an HTTP answer; for streams and sockets. */
export function inStream(error) {
  const { http: _, ...extensions } = error.extensions ?? {};
  return new GraphQLError(error.message, { path: error.path, extensions });
}

export function subgraphUnavailable(subgraph) {
  return new GraphQLError(`The service of '${subgraph}' does not answer.`, {
    extensions: { code: 'SUBGRAPH_UNAVAILABLE', subgraph },
  });
}

/** The events that a client did not take; it resumes by its cursor. */
export function tooSlow() {
  const message = 'Too many events wait for you to take them: subscribe again, from the last one you have.';
  return new GraphQLError(message, { extensions: { code: 'SLOW_SUBSCRIBER' } });
}

export function entitlementRevoked(module) {
  return new GraphQLError(`The module '${module}' is no longer assigned.`, {
    extensions: { code: 'ENTITLEMENT_REVOKED', module },
  });
}

/**
 * An error of a subgraph as clients see it. Modplane masks its own. A module's passes when it is typed, that is when
 * it has a code of its own: its code and message, nothing else. Everything else may hold what is nobody's business, and
 * is `untyped`.
 * @returns {object} in the form of a GraphQL response
 */
function clientError(subgraph, error, untyped) {
  if (subgraph === PLATFORM) {
    return error;
  }
  const code = error?.extensions?.code;
  // Of another form it would fail what puts it into the answer, and all that is beside it.
  const shared = { path: Array.isArray(error?.path) ? error.path : undefined };
  if (typeof code === 'string' && !UNTYPED.has(code) && typeof error.message === 'string') {
    return { ...shared, message: error.message, extensions: { code, subgraph } };
  }
  untyped.push(error);
  const message = `The service of '${subgraph}' failed to answer this.`;
  return { ...shared, message, extensions: { code: 'SUBGRAPH_ERROR', subgraph } };
}

/** An answer of a subgraph with its errors as clients see them. The log has one line of it, however many they are. */
export function forClient(subgraph, answer, log) {
  if (!answer.errors) {
    return answer;
  }
  const untyped = [];
  const errors = answer.errors.map((each) => clientError(subgraph, each, untyped));
  if (untyped.length > 0) {
    const error = String(untyped[0]?.message).slice(0, 500);
    log.warn({ subgraph, count: untyped.length, error }, 'A subgraph answered errors without a code');
  }
  return { ...answer, errors };
}
