/** What the design promises embedders: these hooks, written exactly so, fit. Mostly a test of types. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type {
  AuthContext,
  ClientIdentity,
  CoordinatorHooks,
  SyncOperation,
  ValidationResult,
} from '../../src/hooks/types.ts';
import type { ApplyResult, ChangeSet, RejectedChange } from '../../src/protocol/types.ts';
import { CALLS, SITE, testChain } from './support.ts';

/** The interface of the design, to the letter. */
interface DesignedHooks {
  onAuthenticate?(context: AuthContext): Promise<ClientIdentity>;
  onAuthorize?(client: ClientIdentity, operation: SyncOperation): Promise<boolean>;
  onBeforeApplyChanges?(
    client: ClientIdentity,
    changes: ChangeSet[],
  ): Promise<{ approved: ChangeSet[]; rejected: RejectedChange[] }>;
  onAfterApplyChanges?(client: ClientIdentity, changes: ChangeSet[], result: ApplyResult): void;
  onClientConnect?(client: ClientIdentity, socket: import('ws').WebSocket): Promise<boolean>;
  onClientDisconnect?(client: ClientIdentity): void;
}

async function verifyToken(token: string | undefined): Promise<{ id: string }> {
  return { id: `user of ${token}` };
}

function hasPermission(_userId: string | undefined, operation: SyncOperation): boolean {
  return operation.type === 'get_changes';
}

function validateChanges(changes: ChangeSet[]): ValidationResult {
  return { approved: changes, rejected: [] };
}

it('takes the hooks of the design', async () => {
  const hooks: CoordinatorHooks = {
    async onAuthenticate(ctx) {
      // Custom auth: verify JWT, check database, etc.
      const user = await verifyToken(ctx.token);
      // biome-ignore lint/style/noNonNullAssertion: as the design writes it
      return { userId: user.id, siteId: ctx.siteId! };
    },
    async onAuthorize(client, operation) {
      // Check permissions
      return hasPermission(client.userId, operation);
    },
    async onBeforeApplyChanges(_client, changes) {
      // Validate business rules
      return validateChanges(changes);
    },
  };
  const designed: DesignedHooks = {};
  const asOurs: CoordinatorHooks = designed;

  const chain = testChain([asOurs, hooks]);
  const identity = await CALLS.onAuthenticate(chain);
  assert.deepEqual(identity, { userId: 'user of open-sesame', siteId: SITE });
  await CALLS.onAuthorize(chain);
  await CALLS.onBeforeApplyChanges(chain);
});
