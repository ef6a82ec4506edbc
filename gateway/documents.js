// What a document costs before anything runs: its length, what its fragments multiply to, and the room it is kept in.

import { GraphQLError, visit } from 'graphql';

import { DOCUMENT_CHARS_MAX, DOCUMENT_CHARS_KEPT_MAX, FIELDS_MAX, SAME_NAME_PAIRS_MAX } from './limits.js';

/**
 * @returns {{fields: number, pairs: number}} `fields` of the most demanding operation with its fragments spread out;
 *   `pairs` of fields that answer under the same name anywhere, which validation compares with each other. Each node is
 *   looked at once, however often fragments multiply. The document need not be valid.
 */
export function measure(document) {
  const fragments = new Map();
  const operations = [];
  const names = new Map();
  let current;
  visit(document, {
    FragmentDefinition(node) {
      fragments.set(node.name.value, (current = { fields: 0, spreads: [] }));
    },
    OperationDefinition() {
      operations.push((current = { fields: 0, spreads: [] }));
    },
    Field(node) {
      const name = (node.alias ?? node.name).value;
      names.set(name, (names.get(name) ?? 0) + 1);
      current.fields += 1;
    },
    FragmentSpread(node) {
      current.spreads.push(node.name.value);
    },
  });
  const totalOf = (tally) => {
    if (tally.total === undefined) {
      tally.total = tally.fields; // a cycle is cut where it closes: validation will name it
      const below = tally.spreads.map((name) => (fragments.has(name) ? totalOf(fragments.get(name)) : 0));
      tally.total = below.reduce((sum, each) => sum + each, tally.fields);
    }
    return tally.total;
  };
  return {
    fields: Math.max(0, ...operations.map(totalOf)),
    pairs: [...names.values()].reduce((sum, count) => sum + (count * (count - 1)) / 2, 0),
  };
}

/** A plugin that refuses documents which are too much, and keeps parsed ones as long as there is room for them. */
export function useDocuments() {
  const parsed = new Documents();
  return {
    onPluginInit({ plugins }) {
      // The server's own cache counts documents and not their size: a thousand large ones are gigabytes, and anybody may
      // send them. Parsed ones are kept here instead; which ones are valid it remembers as long as they are kept.
      const [cache, ...more] = plugins.filter((each) => Object.keys(each).sort().join() === 'onParse,onValidate');
      if (!cache || more.length > 0) {
        throw new Error("The server's cache of documents is not to be found, and would grow without bounds");
      }
      delete cache.onParse;
    },

    onParse({ params, setParsedDocument }) {
      const source = params.source.toString();
      check('document chars', source.length, DOCUMENT_CHARS_MAX);
      const known = parsed.get(source);
      if (known) {
        setParsedDocument(known);
        return undefined;
      }
      return ({ result }) => {
        if (!(result instanceof Error)) {
          parsed.keep(source, result);
        }
      };
    },

    onValidate({ addValidationRule }) {
      addValidationRule(measuringRule);
    },
  };
}

/** Looks at the document before any other rule looks into it. */
function measuringRule() {
  return {
    Document(document) {
      const { fields, pairs } = measure(document);
      check('fields', fields, FIELDS_MAX);
      check('same name pairs', pairs, SAME_NAME_PAIRS_MAX);
    },
  };
}

/** Parsed documents by their text, as many as fit: those that were not asked for the longest go first. */
export class Documents {
  #kept = new Map();
  #chars = 0;

  get(source) {
    const document = this.#kept.get(source);
    if (document) {
      this.#kept.delete(source);
      this.#kept.set(source, document);
    }
    return document;
  }

  keep(source, document) {
    this.#kept.set(source, document);
    this.#chars += source.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#chars <= DOCUMENT_CHARS_KEPT_MAX) {
        break;
      }
      this.#kept.delete(oldest);
      this.#chars -= oldest.length;
    }
  }
}

function check(rule, actual, limit) {
  if (actual > limit) {
    const message = `The request exceeds the limit for ${rule}: ${actual}, and at most ${limit} allowed.`;
    const extensions = { code: 'LIMIT_EXCEEDED', http: { status: 400 } };
    throw new GraphQLError(message, { extensions });
  }
}
