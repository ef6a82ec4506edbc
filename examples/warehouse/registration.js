// How the service joins the graph, with its module's API key: manifest, subgraph, instance, heartbeats.

import { setTimeout as sleep } from 'node:timers/promises';

const HEARTBEAT_MS = 10_000;
const AGAIN_MS = 5_000;
const POLL_MS = 500;

const REGISTER_MODULE = `mutation($manifest: JSON!) {
  registerModule(input: { manifest: $manifest }) { errors { code message } } }`;
const REGISTER_SUBGRAPH = `mutation($input: RegisterSubgraphInput!) {
  registerSubgraph(input: $input) { errors { code message } subgraph { id state } } }`;
const SUBGRAPH = `query($id: ID!) {
  subgraph(id: $id) { state findings { severity code message line } } }`;
const ACTIVATE = `mutation($id: ID!) {
  activateSubgraph(input: { id: $id }) { errors { code message } } }`;
const REGISTER_INSTANCE = `mutation($input: RegisterModuleInstanceInput!) {
  registerModuleInstance(input: $input) { errors { code message } } }`;
const HEARTBEAT = `mutation($input: ModuleInstanceInput!) {
  heartbeatModuleInstance(input: $input) { errors { code message } } }`;
const DEREGISTER = `mutation($input: ModuleInstanceInput!) {
  deregisterModuleInstance(input: $input) { errors { code message } } }`;

export class Registration {
  #platformUrl;
  #apiKey;

  constructor({ platformUrl, apiKey, manifest, sdl, serviceUrl }) {
    this.#platformUrl = platformUrl;
    this.#apiKey = apiKey;
    this.manifest = manifest;
    this.sdl = sdl;
    this.serviceUrl = serviceUrl;
  }

  /** Until the signal: be in the graph, and say every ten seconds that this instance lives. */
  async keep(signal) {
    await Promise.all([this.#untilDone(() => this.#join(signal), signal), this.#beat(signal)]);
  }

  async leave() {
    await this.#change(DEREGISTER, { input: { module: this.manifest.name, url: this.serviceUrl } });
  }

  async #untilDone(act, signal) {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        if (signal.aborted) {
          return undefined;
        }
        console.error(`${error.message}; trying again`);
        await sleep(AGAIN_MS, undefined, { signal }).catch(() => {});
      }
    }
  }

  async #join(signal) {
    const { name: module, version } = this.manifest;
    await this.#change(REGISTER_MODULE, { manifest: this.manifest }, ['ALREADY_EXISTS']);
    const routingUrl = `${this.serviceUrl}/graphql`;
    const { subgraph } = await this.#change(REGISTER_SUBGRAPH, { input: { module, version, sdl: this.sdl, routingUrl } });
    let state = await this.#leaving(subgraph.id, ['CHECKING', 'NEEDS_APPROVAL'], signal);
    if (state === 'CHECKED') {
      await this.#change(ACTIVATE, { id: subgraph.id });
      state = await this.#leaving(subgraph.id, ['CHECKED', 'ACTIVATING'], signal);
    }
    console.log(`the subgraph ${module} ${version} is ${state}`);
  }

  /** The state that it has when it has none of these any more; what the checks found is told on the way out. */
  async #leaving(id, states, signal) {
    for (;;) {
      const { state, findings } = (await this.#ask(SUBGRAPH, { id })).subgraph;
      if (!states.includes(state)) {
        findings.forEach((each) => console.error(`${each.severity} ${each.code} line ${each.line ?? '-'}: ${each.message}`));
        return state;
      }
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  async #beat(signal) {
    const input = { module: this.manifest.name, url: this.serviceUrl };
    const all = { ...input, healthCheckUrl: `${this.serviceUrl}/health`, version: this.manifest.version };
    const register = () => this.#change(REGISTER_INSTANCE, { input: all });
    await this.#untilDone(register, signal);
    while (!signal.aborted) {
      await sleep(HEARTBEAT_MS, undefined, { signal }).catch(() => {});
      if (!signal.aborted) {
        // Forgotten after a long silence: then it registers again.
        await this.#untilDone(() => this.#change(HEARTBEAT, { input }).catch(register), signal);
      }
    }
  }

  /** The payload of a mutation; throws for errors other than the `expected` codes. */
  async #change(document, variables, expected = []) {
    const [payload] = Object.values(await this.#ask(document, variables));
    const problem = payload.errors.find((each) => !expected.includes(each.code));
    if (problem) {
      throw new Error(`Modplane refused: ${problem.code} ${problem.message}`);
    }
    return payload;
  }

  async #ask(query, variables) {
    const response = await fetch(`${this.#platformUrl}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-module-api-key': this.#apiKey },
      body: JSON.stringify({ query, variables }),
      redirect: 'error',
      signal: AbortSignal.timeout(10_000),
    });
    const { data, errors } = await response.json();
    if (errors) {
      throw new Error(`Modplane answers: ${errors[0].message}`);
    }
    return data;
  }
}
