/** Databases whose catalogs are within their limits, and more than there is room for together. */

import assert from 'node:assert/strict';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { metricOf } from '../support/child-server.ts';
import type { Attack, AttackContext, Scenario } from './scenarios.ts';

const MIB = 1024 * 1024;
const CATALOGS_BYTES = 32 * MIB;
const DATABASES = 40;
/** Fewer would all find room. */
const DATABASES_MIN = 10;
/** Indexes of each, and the DDL of one. */
const TEXTS = 4;
const TEXT_BYTES = MIB;

export const MANY_CATALOGS: readonly Scenario[] = [
  {
    name: 'databases of long DDL, more than there is room for',
    args: ['--limits-catalog-bytes', String(CATALOGS_BYTES)],
    // All that was written stands in the write buffers of the databases, too.
    capBytes: CATALOGS_BYTES + DATABASES * TEXTS * TEXT_BYTES,
    load: (scale) => ({ transactions: Math.ceil(400 * scale), bytes: 1000 }),
    heldUpMsMax: 250,
    attack: fillAll,
  },
];

async function fillAll({ server, owner, scale }: AttackContext): Promise<Attack> {
  const device = new Device(100);
  const count = Math.max(DATABASES_MIN, Math.ceil(DATABASES * scale));
  const ids = Array.from({ length: count }, (_, i) => `long-${i}`);
  const ddl = 'x'.repeat(TEXT_BYTES);
  let refused = 0;
  const fill = async (databaseId: string) => {
    const { siteId } = device;
    const client = await TestClient.join(server.wsUrl, { siteId, databaseId }, owner);
    for (let i = 0; i < TEXTS; i++) {
      const { code } = await client.apply(device.migrate('add_index', `i${i}`, { ddl }));
      if (code === undefined) continue;
      assert.equal(code, 'OVERLOADED');
      refused++;
    }
    return client;
  };
  const fillInTurn = async () => {
    const opened: TestClient[] = [];
    for (const id of ids) opened.push(await fill(id));
    const bytes = await metricOf(server, 'sync_catalog_bytes');
    assert.ok(bytes <= CATALOGS_BYTES, `catalogs take ${bytes} bytes`);
    for (const client of opened) client.socket.close();
    return bytes;
  };
  const filled = fillInTurn();
  return {
    async ended() {
      const bytes = await filled;
      assert.ok(refused > 0);
      return `${refused} of ${ids.length * TEXTS} told to come again, ${Math.round(bytes / MIB)} MiB held`;
    },
  };
}
