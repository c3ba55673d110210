/** What a change says of the value before is carried, and nothing goes by it. */

import assert from 'node:assert/strict';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device, type RowWrite } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { eachTransport } from './each-transport.ts';
import type { Chunk } from './transport.ts';

const [ann, ben, carla] = [new Device(1), new Device(2), new Device(3)];

/** As if each value had been another before, and each row another row: `<WAS>`, of Ben's, written at `hlc`. */
function lie(changeSet: WireChangeSet, hlc: string): WireChangeSet {
  const changes = changeSet.changes.map((change) =>
    change.type === 'column'
      ? { ...change, priorValue: '<WAS>', priorHlc: hlc }
      : { ...change, priorRow: ['<WAS>', { __bigint: '7' }] },
  );
  return { ...changeSet, changes };
}

eachTransport(
  'a value from before that is dated too far ahead has the whole batch refused',
  async ({ join }) => {
    const anna = await join(ann);
    const write = ann.write({ pk: ['ahead'], set: { a: 1, b: 2 } });
    const wrong = lie(write, ben.hlc(Date.now() + 3_600_000));
    const good = ann.write({ pk: ['good'], set: { a: 1 } });
    await assert.rejects(anna.apply(good, wrong), {
      code: 'CLOCK_DRIFT',
      message: /changes\[1\]: dated 3[56]\d{5} ms ahead of the server's clock/,
    });
    assert.deepEqual(
      (await (await join(ben)).changesSince()).flatMap(({ changes }) => changes),
      [],
    );
    assert.equal((await anna.apply(good, write)).applied, 3);
  },
);

eachTransport(
  'what is said of the values before changes nothing that becomes of a batch',
  async ({ join }) => {
    const client = await join(ann);
    const forger = await join(ben);
    const outcomes = [];
    for (const table of ['plain', 'lies']) {
      const write = (...writes: RowWrite[]) => {
        const set = ann.write(...writes.map((each) => ({ ...each, table })));
        return table === 'lies' ? lie(set, ben.hlc(Date.now())) : set;
      };
      const older = write({ pk: [1], set: { a: 'older' } });
      const results = [
        await client.apply(write({ pk: [1], set: { a: 1, b: 1 } }, { pk: [2], set: { a: 1 } })),
        await client.apply(older, write({ pk: [2], delete: true }, { pk: [3], delete: true })),
        await client.apply(write({ pk: [2], set: { a: 'again' } })),
        await forger.apply(write({ pk: [1], set: { a: 'forged' } })),
      ];
      const sent: Chunk[] = await (await join(carla)).snapshot();
      const isHere = (chunk: Chunk) => 'entries' in chunk && chunk.table === table;
      const kept = JSON.stringify(sent.filter(isHere));
      const cells = kept.match(/"column":"."|"value":[^,}]+|"pk":\[.\]/g) ?? [];
      // HLCs and transactions differ, as the two were written one after the other.
      const told = JSON.stringify(results, (key, value) =>
        key === 'hlc' || key === 'transactionId' ? undefined : value,
      );
      outcomes.push({ results: told.replaceAll(table, ''), cells });
    }
    assert.deepEqual(outcomes[1], outcomes[0]);
    assert.equal(outcomes[0]?.cells.length, 3 * 3 + 1);
  },
);

eachTransport(
  'who is sent what a hook lets through is told no value from before, by any way',
  async ({ t, join, server, databaseId }) => {
    const author = await join(ann);
    const site = { siteId: carla.siteId, databaseId };
    const listening = await TestClient.join(server.wsUrl, site, t);
    const write = lie(ann.write({ pk: [1], set: { a: 'is' } }), ann.hlc(0));
    await author.apply(write, lie(ann.write({ pk: [2], delete: true }), ann.hlc(0)));
    const pushed = [...(await listening.nextPush())];
    const reader = await join(ben);
    for (const sent of [pushed, await reader.changesSince(), await reader.snapshot()]) {
      const text = JSON.stringify(sent);
      assert.match(text, /"is"/);
      assert.doesNotMatch(text, /<WAS>|prior/);
    }
  },
  { hooks: () => ({ onBeforeSendChanges: (_client, changeSets) => [...changeSets] }) },
);
