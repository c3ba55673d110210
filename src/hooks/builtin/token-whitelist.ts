/**
 * Accepts the tokens of a list and passes on all others, so that a module after it
 * may know them. How long a comparison takes tells nothing about the tokens: what is
 * compared are hashes, always all of them. Tokens themselves are not kept.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import { type Static, Type } from 'typebox';
import { SyncError } from '../../errors.ts';
import { defineHooks } from '../define-hooks.ts';

const Options = Type.Object({
  tokens: Type.Array(Type.String({ pattern: '\\S' }), {
    default: [],
    secret: true,
    description: 'The tokens that are let in.',
  }),
});

export type TokenWhitelistOptions = Static<typeof Options>;

/** Hex digits of a token's hash in its `userId`: enough to tell tokens apart in a log. */
const FINGERPRINT_LENGTH = 8;

function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

export default defineHooks({
  name: 'token-whitelist',
  options: Options,
  setup({ tokens }) {
    if (tokens.length === 0) {
      throw new Error('it needs tokens: set auth.tokens, or give it the option { tokens: [...] }');
    }
    const hashes = tokens.map(hashToken);
    return {
      onAuthenticate({ token, siteId }) {
        if (!token) return undefined;
        const hash = hashToken(token);
        // No early exit, by which an attacker could tell how far down the list it was.
        let known = false;
        for (const listed of hashes) known = timingSafeEqual(listed, hash) || known;
        if (!known) return undefined;
        if (siteId === undefined) throw new SyncError('NOT_AUTHENTICATED', 'a site id is needed');
        return { siteId, userId: `token:${hash.toString('hex').slice(0, FINGERPRINT_LENGTH)}` };
      },
    };
  },
});
