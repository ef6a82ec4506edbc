// Writes into an answer what was denied: null, and the reason at that very place.

import { GraphQLError } from 'graphql';

import { DENIED_PREFIX } from './entitlement.js';

const ERRORS_MAX = 50; // a list of a thousand needs no thousand times the same reason

/**
 * @param {Map<string, import('./entitlement.js').Denial>} denials by path
 * @returns {object} the result with nulls and errors; the given one is not used afterwards
 */
export function withDenials(result, denials) {
  const errors = [];
  for (const [path, denial] of denials) {
    putNull(result.data, path.split('.'), [], denial, errors);
  }
  return errors.length > 0 ? { ...result, errors: [...(result.errors ?? []), ...errors] } : result;
}

export function denialError({ message, code, module }, path) {
  return new GraphQLError(message, { path, extensions: module ? { code, module } : { code } });
}

function putNull(value, keys, path, denial, errors) {
  if (Array.isArray(value)) {
    value.forEach((each, index) => putNull(each, keys, [...path, index], denial, errors));
    return;
  }
  if (value === null || typeof value !== 'object') {
    return;
  }
  const [key, ...rest] = keys;
  if (rest.length > 0) {
    putNull(value[key], rest, [...path, key], denial, errors);
    return;
  }
  const standIn = DENIED_PREFIX + key;
  if (!(standIn in value)) {
    return; // a type condition or @include left it out: nothing was denied there
  }
  if (key in value) {
    delete value[standIn]; // it was allowed of this type
    return;
  }
  putInPlace(value, standIn, key);
  if (errors.length < ERRORS_MAX) {
    errors.push(denialError(denial, [...path, key]));
  }
}

/** Null under the key, where the stand-in is: the keys of an answer are in the order of the question. */
function putInPlace(object, standIn, key) {
  for (const [name, value] of Object.entries(object)) {
    delete object[name];
    object[name === standIn ? key : name] = name === standIn ? null : value;
  }
}
