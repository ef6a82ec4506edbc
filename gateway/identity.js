// Who is asking, as Modplane says it. Kept for two seconds, asked once at a time for each token.

import { platformAway, unauthenticated } from './errors.js';
import { IDENTITY_MS, PLATFORM_MS } from './limits.js';

const KEPT_MAX = 10_000;

/**
 * @typedef {{subject: string|null, roles: string[], policies: string[], identities: Record<string, string>}} Identity
 * `identities`: for each subgraph the token that tells it who is asking.
 */

export class Identities {
  #platformUrl;
  #key;
  #log;
  #kept = new Map(); // in order of asking: the oldest first

  constructor({ platformUrl, key, log }) {
    this.#platformUrl = platformUrl;
    this.#key = key;
    this.#log = log;
    this.subgraphs = []; // of the supergraph that is served: for whom identities are asked
  }

  /** How many answers are kept. */
  get size() {
    return this.#kept.size;
  }

  /**
   * @param {string|null} authorization the client's own header; null: nobody in particular
   * @param {number} maxAgeMs how long ago it may have been asked
   * @returns {Promise<Identity>} throws UNAUTHENTICATED, or UNAVAILABLE when Modplane does not answer
   */
  get(authorization, maxAgeMs) {
    const subgraphs = this.subgraphs.join(',');
    const name = `${subgraphs}\n${authorization ?? ''}`;
    const kept = this.#kept.get(name);
    // The age counts from the question, not from the answer: what was revoked in between is not missed for longer.
    if (kept && performance.now() - kept.askedAt <= maxAgeMs) {
      return kept.answer;
    }
    const entry = { askedAt: performance.now(), answer: this.#ask(authorization, subgraphs) };
    this.#keep(name, entry);
    return entry.answer;
  }

  #keep(name, entry) {
    this.#kept.delete(name);
    for (const [oldest, { askedAt }] of this.#kept) {
      if (this.#kept.size < KEPT_MAX && entry.askedAt - askedAt <= IDENTITY_MS) {
        break;
      }
      this.#kept.delete(oldest); // nobody is going to take it: with identities for many subgraphs it is not small
    }
    this.#kept.set(name, entry);
    entry.answer.catch((error) => {
      // A refusal is an answer; silence is not, and the next one shall ask again.
      if (error.extensions.code === 'UNAVAILABLE' && this.#kept.get(name) === entry) {
        this.#kept.delete(name);
      }
    });
  }

  async #ask(authorization, subgraphs) {
    const url = `${this.#platformUrl}/federation/v1/identity?subgraphs=${encodeURIComponent(subgraphs)}`;
    const headers = { 'x-modplane-gateway-key': this.#key, ...(authorization === null ? {} : { authorization }) };
    let status;
    let body;
    try {
      const response = await fetch(url, { headers, redirect: 'error', signal: AbortSignal.timeout(PLATFORM_MS) });
      status = response.status;
      body = await response.json();
    } catch {
      throw platformAway();
    }
    if (status === 200 && Array.isArray(body.policies)) {
      return body;
    }
    const refusal = body?.errors?.[0];
    if (status === 401 && refusal?.extensions?.code === 'UNAUTHENTICATED') {
      throw unauthenticated(refusal.message);
    }
    this.#log.error({ status, code: refusal?.extensions?.code }, 'Modplane does not say who callers are');
    throw platformAway();
  }
}
