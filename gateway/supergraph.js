// Where the supergraph comes from: Modplane's artifact endpoint, and a file with the last one that worked.

import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { parse } from 'graphql';

import { PLATFORM_MS, SUPERGRAPH_BYTES_MAX } from './limits.js';

const MARK = '# sha256:';

/** Asks for the supergraph; what did not change is not sent again. */
export class Artifacts {
  #url;
  #key;
  #etag = null;

  constructor({ platformUrl, target, key }) {
    this.#url = `${platformUrl}/artifacts/v1/${encodeURIComponent(target)}/supergraph`;
    this.#key = key;
  }

  /** @returns {Promise<string|null>} null: the same as the last time; throws an Error when there is none to have. */
  async fetch() {
    const headers = { 'x-hive-cdn-key': this.#key, ...(this.#etag ? { 'if-none-match': this.#etag } : {}) };
    const response = await fetch(this.#url, { headers, redirect: 'error', signal: AbortSignal.timeout(PLATFORM_MS) });
    if (response.status === 304) {
      return null;
    }
    const sdl = await response.text();
    if (response.status !== 200) {
      throw new Error(`Modplane answers ${response.status} for the supergraph`);
    }
    if (sdl.length > SUPERGRAPH_BYTES_MAX) {
      throw new Error(`The supergraph is larger than ${SUPERGRAPH_BYTES_MAX} bytes`);
    }
    // Also when it turns out to be no good: what is broken needs to be looked at once, not at every poll.
    this.#etag = response.headers.get('etag');
    return sdl;
  }
}

/** The last supergraph that worked. A file that was cut short or edited is no supergraph. */
export class LastGood {
  #file;

  constructor(file) {
    this.#file = file;
  }

  /** @returns {Promise<string|null>} */
  async read() {
    const text = await readFile(this.#file, 'utf8').catch(() => '');
    const end = text.indexOf('\n');
    const sdl = text.slice(end + 1);
    return end > 0 && text.slice(0, end) === MARK + sha256(sdl) ? sdl : null;
  }

  async write(sdl) {
    const draft = `${this.#file}.${process.pid}`;
    await mkdir(path.dirname(this.#file), { recursive: true });
    await writeFile(draft, `${MARK}${sha256(sdl)}\n${sdl}`);
    await rename(draft, this.#file);
  }
}

/** @returns {string[]} the names of the subgraphs that a supergraph is made of; throws when it is none. */
export function subgraphNames(sdl) {
  const graph = parse(sdl).definitions.find((each) => each.kind === 'EnumTypeDefinition' && each.name.value === 'join__Graph');
  const names = (graph?.values ?? []).flatMap((value) => value.directives)
    .filter((directive) => directive.name.value === 'join__graph')
    .map((directive) => directive.arguments.find((each) => each.name.value === 'name')?.value.value);
  if (names.length === 0 || !names.every((name) => typeof name === 'string')) {
    throw new Error('This is not a supergraph: it names no subgraphs');
  }
  return names;
}

function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}
