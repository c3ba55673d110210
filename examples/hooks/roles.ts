/**
 * Roles from a token: what its claim `roles` says goes into the identity, whoever accepted the client.
 * Everybody may read, editors may write, and admins may change tables.
 */

import { type ClientIdentity, defineHooks, judgeChanges } from 'sync-coordinator';

/** Of an identity of `sync-coordinator/hooks/jwt`, or of any module that puts claims there. */
function rolesOf({ metadata }: ClientIdentity): unknown[] {
  const { roles } = Object(metadata?.claims);
  return Array.isArray(roles) ? roles : [];
}

function has({ metadata }: ClientIdentity, role: string): boolean {
  return Array.isArray(metadata?.roles) && metadata.roles.includes(role);
}

export default defineHooks({
  name: 'roles',
  hooks: {
    onAuthenticated: (client) => ({ metadata: { roles: rolesOf(client) } }),
    onAuthorize: (client, { type }) => type !== 'apply_changes' || has(client, 'editor'),
    onBeforeApplyChanges: (client, changeSets) =>
      judgeChanges(changeSets, () => true, {
        migration: () =>
          has(client, 'admin') || { reason: 'only admins change tables', code: 'NOT_ADMIN' },
      }),
  },
});
