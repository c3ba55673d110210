/**
 * Accepts the tokens of a list and passes on all others, so that a module after it
 * may know them. How long a comparison takes tells nothing about the tokens: what is
 * compared are hashes, always all of them. Tokens themselves are not kept.
 */

import { timingSafeEqual } from 'node:crypto';
import { type Static, Type } from 'typebox';
import { SyncError } from '../../errors/sync-error.ts';
import { defineHooks } from '../define-hooks.ts';
import { hashToken, listedToHash, readTokensFile } from './token-list.ts';

const Options = Type.Object({
  tokens: Type.Array(Type.String({ pattern: '\\S' }), {
    default: [],
    secret: true,
    description: 'The tokens that are let in, or `sha256:` and the hash of one.',
  }),
  tokensFile: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'A file with more of them, one a line; lines that begin with `#` are comments. Relative to the working directory.',
    }),
  ),
});

export type TokenWhitelistOptions = Static<typeof Options>;

/** Hex digits of a token's hash in its `userId`: enough to tell tokens apart in a log. */
const FINGERPRINT_LENGTH = 8;

export default defineHooks({
  name: 'token-whitelist',
  options: Options,
  async setup({ tokens, tokensFile }, { logger }) {
    const hashes = tokens.map((token, i) => listedToHash(token, `token ${i + 1}`));
    if (tokensFile !== undefined) {
      hashes.push(...(await readTokensFile(tokensFile, (warning) => logger.warn('%s', warning))));
    }
    // Who takes the last one off the list means that nobody is to come in with it: no reason to go on
    // with the list as it was.
    if (hashes.length === 0) {
      const where = tokensFile === undefined ? '' : ` in ${tokensFile}`;
      logger.warn('there is no token%s: nobody is let in by this list', where);
    }
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
