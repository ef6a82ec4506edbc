// Hive Gateway, put together: the supergraph it is offered, our transport, guard and limits.

import { createGatewayRuntime } from '@graphql-hive/gateway-runtime';

import { useDocuments } from './documents.js';
import { useGuard } from './guard.js';
import { DRAIN_MS, limitPlugins } from './limits.js';
import { subgraphNames } from './supergraph.js';
import { signedTransport } from './transport.js';

export class Gateway {
  #identities;
  #log;
  #offered = null;
  #served = null;
  #schema = null; // made of what was offered last, if that was any good

  constructor({ identities, signFor, settings, log }) {
    this.#identities = identities;
    this.#log = log;
    const transport = signedTransport({ identities, signFor, log });
    this.runtime = createGatewayRuntime({
      supergraph: () => this.#offered,
      transports: () => transport,
      gracefulSchemaReload: { drainTimeout: DRAIN_MS },
      plugins: () => [useDocuments(), ...limitPlugins(settings), useGuard(identities)],
      disableIntrospection: settings.hasIntrospection ? undefined : {},
      graphiql: settings.hasIntrospection,
      landingPage: false,
      cors: false,
      subgraphErrors: false, // errors.js says what clients see
      upstreamCancellation: true,
      logging: log,
    });
  }

  /**
   * Serve this supergraph from now on. Operations that run end on the one they began with.
   * @returns {Promise<boolean>} false: it is no good, and the former one is still served
   */
  async serve(sdl) {
    if (sdl === this.#served) {
      return true; // begun with what was kept, and Modplane has no other
    }
    const before = this.#identities.subgraphs;
    try {
      const names = subgraphNames(sdl);
      // Both while they change: an operation of either supergraph finds its subgraphs' identities.
      this.#identities.subgraphs = [...new Set([...before, ...names])].sort();
      this.#offered = sdl;
      const schema = await this.runtime.invalidateUnifiedGraph();
      if (schema === this.#schema) {
        throw new Error('the gateway could not load it');
      }
      [this.#schema, this.#served] = [schema, sdl];
      this.#identities.subgraphs = names.sort();
      return true;
    } catch (error) {
      this.#identities.subgraphs = before;
      this.#log.error({ error: String(error) }, 'A supergraph was refused');
      return false;
    }
  }
}
