// What @policy, @requiresScopes and @authenticated of the supergraph ask for, and what an operation lacks of it.
// Never holds: who has which module. Modplane says that, see identity.js.

import { Kind, TypeInfo, getNamedType, isAbstractType, visit, visitWithTypeInfo } from 'graphql';
import { getDirectiveExtensions } from '@graphql-tools/utils';

const MODULE = 'module:';
/** What the key of a denied field is called until the answer is there. */
export const DENIED_PREFIX = 'modplaneDenied_';

/**
 * @typedef {{kind: 'policy'|'scope'|'authenticated', anyOf: string[][]}} Gate `anyOf`: one of these lists, all of it.
 * @typedef {{message: string, code: string, module?: string}} Denial
 */

const gatesByField = new WeakMap();

/** @returns {Gate[]} of a field, of the type it is on, and of the type it leads to; on an interface, of every type behind it. */
function gatesOf(schema, type, fieldName) {
  const types = isAbstractType(type) ? [type, ...schema.getPossibleTypes(type)] : [type];
  return types.flatMap((each) => {
    const field = each.getFields?.()[fieldName];
    if (!field) {
      return [];
    }
    if (!gatesByField.has(field)) {
      const elements = [each, field, getNamedType(field.type)];
      gatesByField.set(field, elements.flatMap((element) => gatesIn(schema, element)));
    }
    return gatesByField.get(field);
  });
}

function gatesIn(schema, element) {
  const found = getDirectiveExtensions(element, schema);
  return [
    ...(found.policy ?? []).map(({ policies }) => ({ kind: 'policy', anyOf: policies })),
    ...(found.requiresScopes ?? []).map(({ scopes }) => ({ kind: 'scope', anyOf: scopes })),
    ...(found.authenticated ?? []).map(() => ({ kind: 'authenticated', anyOf: [] })),
  ];
}

/** @returns {Denial|null} why this identity does not pass; null: it does. */
export function denialBy(gate, identity) {
  if (gate.kind === 'authenticated') {
    return identity.subject ? null : { code: 'UNAUTHENTICATED', message: 'This needs a token.' };
  }
  const has = new Set(gate.kind === 'policy' ? identity.policies : identity.roles);
  if (gate.anyOf.some((names) => names.every((name) => has.has(name)))) {
    return null;
  }
  const missing = gate.anyOf.flat().find((name) => !has.has(name)) ?? '';
  if (!missing.startsWith(MODULE)) {
    return { code: 'FORBIDDEN', message: 'This is not permitted.' };
  }
  const module = missing.slice(MODULE.length);
  return { code: 'MODULE_NOT_ENTITLED', message: `The module '${module}' is not assigned.`, module };
}

const gatesByDocument = new WeakMap();

/** @returns {Gate[]} all that a document asks for, whichever of its operations runs. */
export function gatesOfDocument(schema, document) {
  const known = gatesByDocument.get(document);
  if (known?.schema === schema) {
    return known.gates;
  }
  const gates = new Set();
  const types = new TypeInfo(schema);
  visit(document, visitWithTypeInfo(types, {
    Field(node) {
      gatesOf(schema, types.getParentType(), node.name.value).forEach((gate) => gates.add(gate));
    },
  }));
  gatesByDocument.set(document, { schema, gates: [...gates] });
  return [...gates];
}

/**
 * The document without what is denied. A denied field becomes `__typename`: no subgraph is asked, and it appears exactly
 * where the field would have been, to be made null in the answer. Its key is one of its own: under the field's, what is
 * allowed of another type or interface at the same place would contradict it, and the document be refused.
 * @returns {{document: object, denials: Map<string, Denial>}} denials by the path of keys, joined by dots
 */
export function withoutDenied(schema, document, operation, identity) {
  const denials = new Map();
  const denialOf = (type, node) => gatesOf(schema, type, node.name.value)
    .map((gate) => denialBy(gate, identity))
    .find(Boolean);
  collect(schema, document, operation, denialOf, denials);
  const types = new TypeInfo(schema);
  const allowed = visit(document, visitWithTypeInfo(types, {
    Field(node) {
      return denialOf(types.getParentType(), node) ? standIn(node) : undefined;
    },
  }));
  return { document: allowed, denials };
}

function standIn(node) {
  return {
    kind: Kind.FIELD,
    alias: { kind: Kind.NAME, value: DENIED_PREFIX + (node.alias ?? node.name).value },
    name: { kind: Kind.NAME, value: '__typename' },
    directives: node.directives,
  };
}

/** Where in the answer the denied fields would be: fragments are followed to all places they are spread. */
function collect(schema, document, operation, denialOf, denials) {
  const fragments = new Map(document.definitions.filter((each) => each.kind === Kind.FRAGMENT_DEFINITION)
    .map((each) => [each.name.value, each]));
  const seen = new Set(); // a fragment spread twice at the same place says nothing new

  function walk(selectionSet, type, path) {
    for (const node of selectionSet.selections) {
      if (node.kind === Kind.FIELD) {
        enter(node, type, path);
        continue;
      }
      const spread = node.kind === Kind.FRAGMENT_SPREAD ? fragments.get(node.name.value) : node;
      const place = `${node.name?.value}@${path}`;
      if (!spread || (node.kind === Kind.FRAGMENT_SPREAD && seen.has(place))) {
        continue;
      }
      seen.add(place);
      const condition = spread.typeCondition ? schema.getType(spread.typeCondition.name.value) : type;
      walk(spread.selectionSet, condition, path);
    }
  }

  function enter(node, type, path) {
    const key = node.alias?.value ?? node.name.value;
    const place = path ? `${path}.${key}` : key;
    const denial = denialOf(type, node);
    const field = type.getFields?.()[node.name.value];
    if (denial) {
      denials.set(place, denial);
    } else if (field && node.selectionSet) {
      walk(node.selectionSet, getNamedType(field.type), place);
    }
  }

  walk(operation.selectionSet, schema.getRootType(operation.operation), '');
}
