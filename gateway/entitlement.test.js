// What is taken out of an operation, and what its answer then says: the cases that no subgraph of the tests has.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { buildSchema, execute, getOperationAST, parse, print, validate } from 'graphql';

import { withDenials } from './answer.js';
import { gatesOfDocument, withoutDenied } from './entitlement.js';

const schema = buildSchema(`
  directive @policy(policies: [[String!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
  directive @requiresScopes(scopes: [[String!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
  directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
  scalar Price @policy(policies: [["module:prices"]])
  interface Item { name: String }
  type Tool implements Item { name: String @policy(policies: [["module:tools"]]) weight: Int }
  type Part implements Item { name: String label: String price: Price }
  type Secret @policy(policies: [["module:secrets"]]) { text: String }
  union Thing = Tool | Part
  type Query {
    items: [Item]
    things: [Thing]
    parts: [Part]
    secret: Secret
    both: Int @policy(policies: [["module:a", "module:b"], ["module:c"]])
    scoped: Int @requiresScopes(scopes: [["ADMIN"]])
    known: Int @authenticated
    other: Int @policy(policies: [["weekdays"]])
  }`);

const root = {
  items: [{ __typename: 'Tool', name: 'saw' }, { __typename: 'Part', name: 'nut', label: 'M4' }],
  things: [{ __typename: 'Tool', name: 'saw', weight: 2 }, null],
  parts: [{ name: 'nut', price: 1 }, null, { name: 'bolt', price: 2 }],
  secret: { text: 'x' },
  both: 1,
  scoped: 1,
  known: 1,
  other: 1,
};

/** Data and `path: code` of each error, for a caller with these policies and roles. */
function answer(source, { policies = [], roles = [], subject = null } = {}) {
  const given = parse(source);
  const { document, denials } = withoutDenied(schema, given, getOperationAST(given), { policies, roles, subject });
  assert.deepEqual(validate(schema, document).map(String), []);
  const result = withDenials(execute({ schema, document, rootValue: root }), denials);
  const errors = (result.errors ?? []).map((error) => `${error.path.join('.')}: ${error.extensions.code}`);
  return { data: JSON.parse(JSON.stringify(result.data)), errors };
}

test('a field that some type behind an interface guards is denied on the interface', () => {
  const denied = answer('{ items { name } }');
  assert.deepEqual(denied.data, { items: [{ name: null }, { name: null }] });
  assert.deepEqual(denied.errors, ['items.0.name: MODULE_NOT_ENTITLED', 'items.1.name: MODULE_NOT_ENTITLED']);
  const allowed = answer('{ items { name } }', { policies: ['module:tools'] });
  assert.deepEqual(allowed, { data: { items: [{ name: 'saw' }, { name: 'nut' }] }, errors: [] });
});

test('a union is guarded by the type that is asked of', () => {
  const { data, errors } = answer('{ things { ... on Tool { name weight } ...P } } fragment P on Part { name }');
  assert.deepEqual(data, { things: [{ name: null, weight: 2 }, null] });
  assert.deepEqual(errors, ['things.0.name: MODULE_NOT_ENTITLED']);
});

test('what leads to a guarded type or scalar is guarded', () => {
  assert.deepEqual(answer('{ secret { __typename } }'), { data: { secret: null }, errors: ['secret: MODULE_NOT_ENTITLED'] });
  const { data, errors } = answer('{ parts { name cost: price } }');
  assert.deepEqual(data, { parts: [{ name: 'nut', cost: null }, null, { name: 'bolt', cost: null }] });
  assert.deepEqual(errors, ['parts.0.cost: MODULE_NOT_ENTITLED', 'parts.2.cost: MODULE_NOT_ENTITLED']);
});

test('policies are an OR of ANDs', () => {
  const codes = (policies) => answer('{ both }', { policies }).errors.length;
  assert.deepEqual([['module:a'], ['module:b'], ['module:a', 'module:b'], ['module:c']].map(codes), [1, 1, 0, 0]);
});

test('the other directives of authorization are not passed over', () => {
  const source = '{ scoped known other }';
  assert.deepEqual(answer(source).errors, ['scoped: FORBIDDEN', 'known: UNAUTHENTICATED', 'other: FORBIDDEN']);
  const somebody = { roles: ['ADMIN'], subject: 'me', policies: ['weekdays'] };
  assert.deepEqual(answer(source, somebody), { data: { scoped: 1, known: 1, other: 1 }, errors: [] });
});

test('arguments and selections of what is denied are gone, directives and keys stay', () => {
  const given = parse('query($yes: Boolean!) { a: secret @include(if: $yes) { text } secret { text } }');
  const { document } = withoutDenied(schema, given, getOperationAST(given), { policies: [], roles: [], subject: null });
  assert.equal(print(document), 'query ($yes: Boolean!) {\n  modplaneDenied_a: __typename @include(if: $yes)\n  modplaneDenied_secret: __typename\n}');
});

test('what is denied of one type does not contradict what is allowed of another under the same key', () => {
  const source = '{ items { ... on Tool { shown: name } ... on Part { shown: label } } }';
  const { data, errors } = answer(source);
  assert.deepEqual(data, { items: [{ shown: null }, { shown: 'M4' }] });
  assert.deepEqual(errors, ['items.0.shown: MODULE_NOT_ENTITLED']);
  const both = answer('{ items { name ... on Part { name } } }');
  assert.deepEqual(both, { data: { items: [{ name: null }, { name: 'nut' }] }, errors: ['items.0.name: MODULE_NOT_ENTITLED'] });
});

test('keys stay in the order of the question', () => {
  const { data } = answer('{ known scoped other parts { name price label } }', { subject: 'me' });
  assert.deepEqual(Object.keys(data), ['known', 'scoped', 'other', 'parts']);
  assert.deepEqual(Object.keys(data.parts[0]), ['name', 'price', 'label']);
});

test('fragments that spread each other many times are looked at once for each place', () => {
  const fragments = Array.from({ length: 40 }, (_, n) => `fragment F${n} on Query { ...F${n + 1} ...F${n + 1} }`);
  const source = `{ ...F0 } ${fragments.join(' ')} fragment F40 on Query { secret { text } }`;
  assert.deepEqual(answer(source).errors, ['secret: MODULE_NOT_ENTITLED']);
});

test('what a document asks for is found in fragments too, once for each field', () => {
  const gates = gatesOfDocument(schema, parse('{ a: secret { text } ...S } fragment S on Query { secret { text } }'));
  assert.deepEqual(gates.map((gate) => gate.anyOf), [[['module:secrets']], [['module:secrets']]]);
});
