// How subgraphs know that a request comes from this gateway, and unchanged: a token for exactly this body.

import { createHash, createPrivateKey, createPublicKey, randomUUID, sign } from 'node:crypto';

const LIFETIME_SECONDS = 30;

/**
 * @param {string} pem Ed25519, PKCS#8
 * @returns {(subgraph: string, body: string) => string} makes the value of X-Modplane-Gateway
 */
export function createSigner(pem) {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new Error('The key of the gateway is not an Ed25519 key');
  }
  const header = encode({ alg: 'EdDSA', typ: 'JWT', kid: thumbprint(key) });
  return function signFor(subgraph, body) {
    const now = Math.floor(Date.now() / 1000);
    const claims = encode({
      iss: 'modplane-gateway',
      aud: `modplane:subgraph:${subgraph}`,
      iat: now,
      exp: now + LIFETIME_SECONDS,
      jti: randomUUID(),
      body_sha256: createHash('sha256').update(body).digest('base64url'),
    });
    const signature = sign(null, Buffer.from(`${header}.${claims}`), key).toString('base64url');
    return `${header}.${claims}.${signature}`;
  };
}

/** RFC 7638: the name of a key is made of the key, so that both sides know it without being told. */
function thumbprint(privateKey) {
  const { crv, kty, x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return createHash('sha256').update(JSON.stringify({ crv, kty, x })).digest('base64url');
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
