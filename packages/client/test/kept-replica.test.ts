/** A replica with its store, without a network. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChangeSet } from '../src/protocol/messages.ts';
import { OUT } from '../src/replica/entries.ts';
import { KeptReplica, type KeptReplicaPort } from '../src/replica/kept-replica.ts';
import { MemoryStore } from '../src/stores/memory.ts';
import type { ClientStore } from '../src/stores/store.ts';
import { FakeWorld, settle } from './support/fake-world.ts';

/** Stores when it is told to. */
class SlowStore extends MemoryStore {
  isSlow = false;
  store = () => {};

  override async commit(...args: Parameters<ClientStore['commit']>): Promise<void> {
    if (this.isSlow) await new Promise<void>((resolve) => (this.store = resolve));
    return super.commit(...args);
  }
}

test('a write may be sent when it is stored, and not before', async (t) => {
  const store = new SlowStore();
  let sendable = 0;
  const port: KeptReplicaPort = {
    changed: () => {},
    othersAnswered: () => {},
    sendable: () => {
      sendable = kept.sendable().length;
    },
    fault: () => {},
    lead: () => {},
    follow: () => {},
    heard: () => {},
    wish: () => {},
    status: () => ({ isWanted: true, connection: 'stopped' }),
  };
  const options = { store, environment: new FakeWorld(), databaseId: 'default', siteId: undefined };
  const kept = new KeptReplica(options, port);
  t.after(() => kept.close());
  await kept.open();
  store.isSlow = true;
  const hlc = kept.clock?.next()(0) ?? '';
  const value: ChangeSet = { siteId: 'site', transactionId: hlc, hlc, changes: [] };
  const durable = kept.commit([{ type: 'put', key: OUT + hlc, value }]);
  await settle();
  assert.equal(kept.replica.outbox.size, 1);
  assert.deepEqual(kept.sendable(), []);
  store.store();
  await durable;
  assert.deepEqual(kept.sendable(), [[hlc, value]]);
  assert.equal(sendable, 1, 'it is told');
});
