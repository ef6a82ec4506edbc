// What is refused for its size alone, and how much of what was asked is kept.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { buildSchema, parse, validate } from 'graphql';
import { createSchema, createYoga } from 'graphql-yoga';

import { Documents, measure, useDocuments } from './documents.js';
import { DOCUMENT_CHARS_KEPT_MAX, DOCUMENT_CHARS_MAX, FIELDS_MAX } from './limits.js';

const schema = buildSchema('type Query { a: Query b: Query leaf: Int }');

/** Fragments that each ask twice for the next. */
function doubling(levels) {
  const fragments = Array.from({ length: levels }, (_, n) => `fragment F${n} on Query { a { ...F${n + 1} } b { ...F${n + 1} } }`);
  return `{ ...F0 } ${fragments.join(' ')} fragment F${levels} on Query { leaf }`;
}

/** The message that validation with the plugin's rule ends with; null: it went through. */
function refusal(source) {
  const rules = [];
  useDocuments().onValidate({ addValidationRule: (rule) => rules.push(rule) });
  try {
    assert.deepEqual(validate(schema, parse(source), rules), []);
    return null;
  } catch (error) {
    return [error.message, error.extensions.code];
  }
}

test('fields are counted as often as their fragments are spread, each node being looked at once', () => {
  assert.deepEqual(measure(parse(doubling(2))), { fields: 2 + 4 + 4, pairs: 2 });
  assert.equal(measure(parse(doubling(60))).fields, 2 ** 61 - 2 + 2 ** 60);
  assert.equal(measure(parse('{ a { leaf } } query B { b { leaf a { leaf } } }')).fields, 4);
});

test('a cycle of fragments and a fragment that there is not are left to validation', () => {
  const source = '{ ...F ...None } fragment F on Query { leaf ...G } fragment G on Query { leaf ...F }';
  assert.equal(measure(parse(source)).fields, 3);
});

test('what multiplies to too much is refused before it is looked into', () => {
  const actual = 3 * 2 ** 12 - 2;
  const message = `The request exceeds the limit for fields: ${actual}, and at most ${FIELDS_MAX} allowed.`;
  assert.deepEqual(refusal(doubling(12)), [message, 'LIMIT_EXCEEDED']);
  assert.equal(refusal(doubling(10)), null);
  assert.equal(refusal(`{ ${'leaf '.repeat(400)} }`)[0].includes('same name pairs: 79800'), true);
});

test('what is too long is not even parsed', () => {
  const source = `{ leaf } #${'x'.repeat(DOCUMENT_CHARS_MAX)}`;
  assert.throws(() => useDocuments().onParse({ params: { source } }), { message: /limit for document chars/ });
});

test('parsed documents are kept by what they take, those asked for last the longest', () => {
  const documents = new Documents();
  const long = 'x'.repeat(DOCUMENT_CHARS_KEPT_MAX / 4);
  const sources = [1, 2, 3, 4, 5].map((each) => long.slice(1) + each);
  sources.slice(0, 4).forEach((source) => documents.keep(source, { source }));
  assert.equal(documents.get(sources[0]).source, sources[0]);
  documents.keep(sources[4], {});
  assert.deepEqual(sources.map((source) => Boolean(documents.get(source))), [true, false, true, true, true]);
});

test('the server underneath keeps no documents beside', async () => {
  const kept = [];
  const spy = { get: () => undefined, set: (source) => kept.push(source) };
  const yoga = createYoga({
    schema: createSchema({ typeDefs: 'type Query { leaf: Int }' }),
    plugins: [useDocuments()],
    parserAndValidationCache: { documentCache: spy, errorCache: spy },
  });
  for (const query of ['{ leaf }', '{ leaf', '{ leaf }']) {
    const body = JSON.stringify({ query });
    const response = await yoga.fetch('http://gateway/graphql', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    assert.equal('data' in (await response.json()), query.endsWith('}'));
  }
  assert.deepEqual(kept, []);
  const without = () => createYoga({ plugins: [useDocuments()], parserAndValidationCache: false });
  assert.throws(without, { message: /would grow without bounds/ });
});
