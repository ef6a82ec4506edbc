// What the gateway refuses to begin with, and how long it waits. One place for all figures.

import { blockFieldSuggestionsPlugin } from '@escape.tech/graphql-armor-block-field-suggestions';
import { maxAliasesPlugin } from '@escape.tech/graphql-armor-max-aliases';
import { maxDepthPlugin } from '@escape.tech/graphql-armor-max-depth';
import { maxTokensPlugin } from '@escape.tech/graphql-armor-max-tokens';

export const BODY_BYTES_MAX = 1024 * 1024;
export const ANSWER_BYTES_MAX = 32 * 1024 * 1024; // of one subgraph
export const EVENT_BYTES_MAX = 1024 * 1024; // of a live stream; a client may let EVENTS_WAITING_MAX of them wait
export const SUPERGRAPH_BYTES_MAX = 32 * 1024 * 1024;
export const DOCUMENT_CHARS_MAX = 100_000;
export const DOCUMENT_CHARS_KEPT_MAX = 1_000_000; // of all parsed ones together; a parsed one takes 250 bytes for each
export const TOKENS_MAX = 5_000;
export const FIELDS_MAX = 5_000; // of an operation with its fragments spread out
export const SAME_NAME_PAIRS_MAX = 50_000; // validation compares fields of the same name with each other
export const DEPTH_MAX = 15;
export const ALIASES_MAX = 100;
export const STREAMS_PER_SOCKET_MAX = 100;
export const EVENTS_WAITING_MAX = 256; // of one stream, for a client that does not take them
export const SOCKET_INIT_MS = 5_000;
export const CLOSE_MS = 5_000; // from the signal to end until what still runs is cut off
export const KEEP_OPEN_MS = 75_000; // idle connections: longer than clients and proxies keep them, who would send just as one is closed
export const LINGER_MS = 5_000; // how long a refused request may go on being sent

export const PLATFORM_MS = 3_000; // identity and supergraph
export const SUBGRAPH_MS = 10_000;
export const KEEP_ALIVE_MS = 10_000; // how often the subgraph of a live stream is asked whether it is still there
export const DRAIN_MS = 20_000; // operations begun on the former supergraph

export const IDENTITY_MS = 2_000; // how old an identity may be when an operation begins
export const RECHECK_MS = 2_000; // how often a live stream is asked whether it still may
export const RECHECK_IDENTITY_MS = 500; // how old an identity may be then: revoke to end takes less than 3 s
export const UNREACHABLE_MS = 30_000; // how long a live stream outlives a platform that doesn't answer

/** Envelop plugins that bound documents. */
export function limitPlugins({ hasIntrospection }) {
  return [
    maxTokensPlugin({ n: TOKENS_MAX }),
    maxDepthPlugin({ n: DEPTH_MAX, ignoreIntrospection: true }),
    maxAliasesPlugin({ n: ALIASES_MAX }),
    // "Did you mean" would tell the names that introspection does not.
    ...(hasIntrospection ? [] : [blockFieldSuggestionsPlugin()]),
  ];
}
