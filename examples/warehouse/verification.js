// Who is asking, and whether the gateway says so: two tokens, verified with the keys that Modplane publishes.

import { createHash } from 'node:crypto';

import { createRemoteJWKSet, jwtVerify } from 'jose';

const MODULE = 'warehouse';
const AUDIENCE = `modplane:subgraph:${MODULE}`;

/** Why a call is refused: an HTTP status, and a code for programs. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** @returns {(headers: object, body: Buffer) => Promise<object>} the identity's claims; throws Refused */
export function createVerifier(platformUrl) {
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', platformUrl), { timeoutDuration: 3_000 });

  // The set has keys of both: the gateway may not say who somebody is, nor the platform that it was the gateway.
  const keyOf = (role) => async (header, token) => {
    const key = await keys(header, token);
    const published = keys.jwks().keys.find((each) => each.kid === header.kid);
    if (published?.['modplane:role'] !== role) {
      throw new Refused(401, 'GATEWAY_REQUIRED', `The key ${header.kid} is not the ${role}'s.`);
    }
    return key;
  };

  async function verified(token, role, issuer) {
    if (typeof token !== 'string') {
      throw new Refused(401, 'GATEWAY_REQUIRED', 'This service answers calls through the gateway only.');
    }
    const expected = { issuer, audience: AUDIENCE, algorithms: ['EdDSA'], requiredClaims: ['exp'], clockTolerance: 5 };
    try {
      return (await jwtVerify(token, keyOf(role), expected)).payload;
    } catch (error) {
      if (error instanceof Refused) {
        throw error;
      }
      const isAway = error.code === 'ERR_JWKS_TIMEOUT' || error instanceof TypeError;
      throw isAway
        ? new Refused(503, 'UNAVAILABLE', 'The keys of the platform cannot be read at the moment.')
        : new Refused(401, 'GATEWAY_REQUIRED', `A token of the ${role} is not valid: ${error.code}.`);
    }
  }

  return async function verify(headers, body) {
    const call = await verified(headers['x-modplane-gateway'], 'gateway', 'modplane-gateway');
    if (call.body_sha256 !== createHash('sha256').update(body).digest('base64url')) {
      throw new Refused(401, 'GATEWAY_REQUIRED', 'The body is not the one that the gateway signed.');
    }
    const identity = await verified(headers['x-modplane-identity'], 'platform', 'modplane');
    // The gateway asks this too. Whoever guards data asks again.
    if (!identity.modules?.includes(MODULE)) {
      throw new Refused(403, 'MODULE_NOT_ENTITLED', `The module '${MODULE}' is not assigned.`);
    }
    return identity;
  };
}
