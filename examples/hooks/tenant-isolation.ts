/**
 * A database for each organisation: who is of one, as the claim `org` of the token says, may do
 * everything in its database, `org:<id>`, and nothing in any other. Nor does a stranger's asking make one.
 */

import { defineHooks } from 'sync-coordinator';

export default defineHooks({
  name: 'tenant-isolation',
  hooks: {
    onAuthorize({ metadata }, { databaseId }) {
      const { org } = Object(metadata?.claims);
      return typeof org === 'string' && databaseId === `org:${org}`;
    },
  },
});
