/**
 * Accepts the tokens of a list, and passes all others to the next module. The time of a comparison
 * reveals nothing about the tokens: it always compares all hashes. The tokens themselves are not
 * kept.
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
    // An empty list must not fail a reload, which would keep the old list in force: it means that
    // no token is accepted any more.
    if (hashes.length === 0) {
      const where = tokensFile === undefined ? '' : ` in ${tokensFile}`;
      logger.warn('there is no token%s: nobody is let in by this list', where);
    }
    return {
      onAuthenticate({ token, siteId }) {
        if (!token) return undefined;
        const hash = hashToken(token);
        // No early exit: its time would reveal the place of the token in the list.
        let known = false;
        for (const listed of hashes) known = timingSafeEqual(listed, hash) || known;
        if (!known) return undefined;
        if (siteId === undefined) throw new SyncError('NOT_AUTHENTICATED', 'a site id is needed');
        return { siteId, userId: `token:${hash.toString('hex').slice(0, FINGERPRINT_LENGTH)}` };
      },
    };
  },
});
