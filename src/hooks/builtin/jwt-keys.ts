/** The keys with which JWTs are verified, and their algorithms. */

import {
  createRemoteJWKSet,
  customFetch,
  errors,
  importJWK,
  importSPKI,
  importX509,
  type JWK,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  type JWTVerifyResult,
  jwtVerify,
} from 'jose';

export interface KeyOptions {
  secret?: string | undefined;
  publicKey?: string | Record<string, unknown> | undefined;
  jwksUrl?: string | undefined;
  jwksMaxAgeSeconds: number;
  jwksCooldownSeconds: number;
  algorithms?: string[] | undefined;
}

/** Keys can't be fetched now, so it is not known whether a token is valid. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable';

  constructor(cause: unknown) {
    super('the keys of tokens cannot be had at the moment', { cause });
  }
}

/**
 * No published key has made a token, as of now. That is no verdict on it: its key may have been withdrawn, or be
 * published a moment later than it is used.
 */
export class KeyNotPublished extends Error {
  override readonly name = 'KeyNotPublished';

  constructor(cause: unknown) {
    super('no published key has made this token', { cause });
  }
}

export interface KeySource {
  /** Rejects with one of the two above, or with what is wrong with the token. */
  verify(token: string, verification: JWTVerifyOptions): Promise<JWTVerifyResult>;
  algorithms: string[];
}

const SECRET_BYTES_MIN = 32;
const JWKS_TIMEOUT_MS = 3000;
/** The least time between a failed fetch and the next one. */
export const JWKS_RETRY_MS = 5000;
const SYMMETRIC = ['HS256', 'HS384', 'HS512'];
const ASYMMETRIC = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

/** @throws Error that says which option is wrong */
export async function createKeySource(options: KeyOptions): Promise<KeySource> {
  const { secret, publicKey, jwksUrl } = options;
  const given = [secret, publicKey, jwksUrl].filter((key) => key !== undefined);
  if (given.length !== 1) {
    throw new Error('it needs one of the options secret, publicKey and jwksUrl');
  }
  const known = secret === undefined ? ASYMMETRIC : SYMMETRIC;
  const algorithms = options.algorithms ?? known;
  // A public key is public: a signature that it made as a secret would prove nothing.
  const misfit = algorithms.find((algorithm) => !known.includes(algorithm));
  if (misfit !== undefined)
    throw new Error(`its option algorithms has ${misfit}, not of such a key`);
  if (secret !== undefined) return { verify: verifyWithOne(secretToKey(secret)), algorithms };
  if (publicKey !== undefined) {
    demandPublic(publicKey);
    return { verify: verifyWithOne(await publicToKey(publicKey)), algorithms };
  }
  return { verify: verifyWithPublished(jwksUrl ?? '', options), algorithms };
}

function secretToKey(secret: string): JWTVerifyGetKey {
  const key = new TextEncoder().encode(secret);
  if (key.byteLength >= SECRET_BYTES_MIN) return () => key;
  throw new Error(`its option secret has ${key.byteLength} bytes, of ${SECRET_BYTES_MIN} at least`);
}

/** A private key has no business here, and `check` shows what is called public. */
function demandPublic(publicKey: string | Record<string, unknown>): void {
  const isPrivate =
    typeof publicKey === 'string'
      ? publicKey.includes('PRIVATE KEY-----')
      : publicKey.kty === 'oct' || 'k' in publicKey || 'd' in publicKey;
  if (isPrivate)
    throw new Error('its option publicKey is a secret or private key: give the public');
}

/** The algorithm is the token's own choice, among those that are allowed and that fit the key. */
async function publicToKey(publicKey: string | Record<string, unknown>): Promise<JWTVerifyGetKey> {
  const importFor = (algorithm: string) => {
    if (typeof publicKey !== 'string') return importJWK(publicKey as JWK, algorithm);
    const pem = publicKey.trim();
    return pem.includes('BEGIN CERTIFICATE')
      ? importX509(pem, algorithm)
      : importSPKI(pem, algorithm);
  };
  const keyByAlgorithm = new Map<string, Awaited<ReturnType<typeof importFor>>>();
  for (const algorithm of ASYMMETRIC) {
    const key = await importFor(algorithm).catch(() => undefined);
    if (key !== undefined) keyByAlgorithm.set(algorithm, key);
  }
  if (keyByAlgorithm.size === 0) throw new Error('its option publicKey is no public key');
  return ({ alg }) => {
    const key = keyByAlgorithm.get(alg);
    if (key === undefined) throw new TypeError(`the key is none of ${alg}`);
    return key;
  };
}

/** One key, or one for each algorithm. */
function verifyWithOne(keyFor: JWTVerifyGetKey): KeySource['verify'] {
  return (token, verification) => jwtVerify(token, keyFor, verification);
}

/** Faults of a token that it has with every key. */
const WHATEVER_THE_KEY = [
  errors.JWTExpired,
  errors.JWTClaimValidationFailed,
  errors.JWTInvalid,
  errors.JWSInvalid,
  errors.JOSEAlgNotAllowed,
];

function isWhateverTheKey(error: unknown): boolean {
  return WHATEVER_THE_KEY.some((kind) => error instanceof kind);
}

/** A token that does not name its key may have any that fits, and while keys change one name may stand for two. */
async function verifyWithAny(
  token: string,
  keyFor: JWTVerifyGetKey,
  verification: JWTVerifyOptions,
): Promise<JWTVerifyResult> {
  try {
    return await jwtVerify(token, keyFor, verification);
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error) {
      try {
        return await jwtVerify(token, key, verification);
      } catch (failure) {
        // Claims are looked at after the signature: this was the key.
        if (isWhateverTheKey(failure)) throw failure;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

/** As `fetch`, but that a set without keys is a service that is not itself, and no news. */
async function fetchSet(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  const set: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  const keys = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : undefined;
  if (Array.isArray(keys) && keys.length === 0) throw new Error('the JWKS has no keys');
  return response;
}

/**
 * When keys are fetched is for us to say: jose would ask anew for every token while the service is
 * down, and a stranger's token that makes it fail must not look like that.
 */
function verifyWithPublished(url: string, options: KeyOptions): KeySource['verify'] {
  const keys = createRemoteJWKSet(new URL(url), {
    timeoutDuration: JWKS_TIMEOUT_MS,
    cacheMaxAge: options.jwksMaxAgeSeconds * 1000,
    cooldownDuration: Number.POSITIVE_INFINITY,
    [customFetch]: fetchSet,
  });
  let fetchedAtMs = Number.NEGATIVE_INFINITY;
  let failure: { error: unknown; atMs: number } | undefined;

  /** Calls while a fetch runs share it. */
  async function fetchKeys(): Promise<void> {
    if (failure !== undefined && Date.now() - failure.atMs < JWKS_RETRY_MS) {
      throw new KeysUnavailable(failure.error);
    }
    try {
      await keys.reload();
      fetchedAtMs = Date.now();
      failure = undefined;
    } catch (error) {
      failure = { error, atMs: Date.now() };
      throw new KeysUnavailable(error);
    }
  }

  return async (token, verification) => {
    if (!keys.fresh) await fetchKeys();
    try {
      return await verifyWithAny(token, keys, verification);
    } catch (error) {
      if (isWhateverTheKey(error)) throw error;
      // Its key may have been published just now, also under the name of another.
      const isCoolingDown = Date.now() - fetchedAtMs < options.jwksCooldownSeconds * 1000;
      if (isCoolingDown) throw new KeysUnavailable(error);
    }
    await fetchKeys();
    try {
      return await verifyWithAny(token, keys, verification);
    } catch (error) {
      throw isWhateverTheKey(error) ? error : new KeyNotPublished(error);
    }
  };
}
