/**
 * Accepts JSON Web Tokens that are signed with a shared secret, with the private key of a known
 * public one, or with a key of a published JWKS. Other tokens, and those of other issuers, are
 * passed to the next module. An expired token gets AUTH_EXPIRED, so that its device does not give
 * up.
 */

import { decodeJwt, errors, type JWTPayload, type JWTVerifyOptions } from 'jose';
import { type Static, Type } from 'typebox';
import { type SiteId, siteIdToText } from '../../clock/site-id.ts';
import { SyncError } from '../../errors/sync-error.ts';
import { defineHooks } from '../define-hooks.ts';
import { createKeySource, JWKS_RETRY_MS, KeyNotPublished, KeysUnavailable } from './jwt-keys.ts';

const Texts = Type.Array(Type.String({ minLength: 1 }), { minItems: 1 });

const Options = Type.Object({
  secret: Type.Optional(
    Type.String({ secret: true, description: 'The shared secret, of at least 32 bytes.' }),
  ),
  publicKey: Type.Optional(
    Type.Union([Type.String(), Type.Record(Type.String(), Type.Unknown())], {
      description: 'The public key: PEM (SPKI or a certificate) or a JWK.',
    }),
  ),
  jwksUrl: Type.Optional(
    Type.String({ pattern: '^https?://', description: 'Where a JWKS is published.' }),
  ),
  jwksMaxAgeSeconds: Type.Integer({
    default: 600,
    minimum: 1,
    description: 'How long a JWKS is good. An unknown key has it fetched anew before that.',
  }),
  jwksCooldownSeconds: Type.Integer({
    default: 30,
    minimum: 0,
    description: 'How long after a fetch an unknown key causes no other.',
  }),
  algorithms: Type.Optional(
    Type.Array(Type.String({ pattern: '^(?:[HRP]S|ES)(?:256|384|512)$|^(?:EdDSA|Ed25519)$' }), {
      minItems: 1,
      description:
        'Which may be used. Default: `HS256`, `HS384` and `HS512` with a secret, all others with a key.',
    }),
  ),
  issuer: Type.Optional(
    Type.String({ minLength: 1, description: 'Whose tokens these are; others are passed on.' }),
  ),
  audience: Type.Optional(
    Type.Union([Type.String({ minLength: 1 }), Texts], {
      description: 'Whom a token must be for: one of these.',
    }),
  ),
  requiredClaims: Type.Array(Type.String({ minLength: 1 }), {
    default: [],
    description: 'Claims that a token must have, such as `exp`.',
  }),
  userClaim: Type.String({
    default: 'sub',
    minLength: 1,
    description: 'The claim that is the `userId`: a text, or a number as one.',
  }),
  userPrefix: Type.String({
    default: '',
    description:
      'What stands before the claim in the `userId`, such as `partner:`. With several issuers each needs its own, or who has one name with both is one user.',
  }),
  siteClaim: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'The claim with the site ids that the token is good for, in their text form: one, or a list. Without this option it is good for every site.',
    }),
  ),
  clockToleranceSeconds: Type.Integer({
    default: 0,
    minimum: 0,
    description: 'How wrong the clocks may go in `exp` and `nbf`.',
  }),
});

export type JwtOptions = Partial<Static<typeof Options>>;

export default defineHooks({
  name: 'jwt',
  options: Options,
  async setup(options) {
    const { issuer, audience, requiredClaims, userClaim, userPrefix, siteClaim } = options;
    const { verify, algorithms } = await createKeySource(options);
    const verification: JWTVerifyOptions = {
      algorithms,
      issuer,
      audience,
      requiredClaims: [...new Set([...requiredClaims, userClaim])],
      clockTolerance: options.clockToleranceSeconds,
    };

    return {
      async onAuthenticate({ token, siteId }) {
        const claimed = token === undefined ? undefined : readUnverified(token);
        if (token === undefined || claimed === undefined) return undefined;
        if (issuer !== undefined && claimed.iss !== issuer) return undefined;
        if (siteId === undefined) throw new SyncError('NOT_AUTHENTICATED', 'a site id is needed');
        const { payload } = await verify(token, verification).catch(refuse);
        if (siteClaim !== undefined) demandSite(payload[siteClaim], siteId);
        return {
          siteId,
          userId: userPrefix + toUserId(payload[userClaim], userClaim),
          expiresAt: payload.exp === undefined ? undefined : toExpiry(payload.exp, options),
          metadata: { claims: payload },
        };
      },
    };
  },
});

/** The unverified claims of a token; `undefined` if it is no JWT. */
function readUnverified(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token);
  } catch {
    return undefined;
  }
}

/** Makes expiry and missing keys temporary errors. All other errors are final. */
function refuse(error: unknown): never {
  // jose checks the claims only after the signature.
  if (error instanceof errors.JWTExpired) {
    throw new SyncError('AUTH_EXPIRED', 'the token has expired');
  }
  // The clock of who made it may be ahead.
  if (error instanceof errors.JWTClaimValidationFailed && isTooEarly(error)) {
    throw new SyncError('AUTH_EXPIRED', 'the token is not valid yet');
  }
  if (error instanceof KeyNotPublished) {
    throw new SyncError('AUTH_EXPIRED', error.message, { cause: error.cause });
  }
  if (error instanceof KeysUnavailable) {
    throw new SyncError('OVERLOADED', error.message, {
      cause: error.cause,
      retryAfterMs: JWKS_RETRY_MS,
    });
  }
  throw error;
}

function isTooEarly({ claim, reason }: errors.JWTClaimValidationFailed): boolean {
  return claim === 'nbf' && reason === 'check_failed';
}

function demandSite(claim: unknown, siteId: SiteId): void {
  const sites: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
  if (!sites.includes(siteIdToText(siteId))) throw new Error('the token is for other sites');
}

function toUserId(claim: unknown, name: string): string {
  if (typeof claim === 'string' && claim !== '') return claim;
  if (typeof claim === 'number' && Number.isSafeInteger(claim)) return String(claim);
  throw new Error(`the claim ${name} names no user`);
}

function toExpiry(exp: number, { clockToleranceSeconds }: Static<typeof Options>): number {
  return (exp + clockToleranceSeconds) * 1000;
}
