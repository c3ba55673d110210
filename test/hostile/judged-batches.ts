/** Batches within the default limits that are much work for modules that judge them, or filter them. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import type { Attack, AttackContext, Scenario } from './scenarios.ts';

const MIB = 1024 * 1024;
/** Former names of a table. */
const NAMES = 60;

const device = new Device(100);

export const JUDGED_BATCHES: readonly Scenario[] = [
  {
    name: 'long batches and texts of DDL that modules judge, under sixty names',
    args: [
      ...['--hooks', fileURLToPath(new URL('hooks/judging.mjs', import.meta.url))],
      ...['--hooks', 'sync-coordinator/hooks/ddl'],
      ...['--hooks-timeout-ms', '60000'],
    ],
    // One message, and what it is parsed to.
    capBytes: 512 * MIB,
    load: (scale) => ({ transactions: Math.ceil(400 * scale), bytes: 1000 }),
    heldUpMsMax: 250,
    stored: renames,
    attack: sendAll,
  },
];

/** The tables `judged` and `passed` of sixty names each. */
function* renames(): Generator<WireChangeSet[]> {
  for (const last of ['judged', 'passed']) {
    const names = [...Array.from({ length: NAMES }, (_, i) => `${last}_${i}`), last];
    yield names.map((table, i) => {
      const fromTable = names[i - 1];
      if (fromTable === undefined) return device.migrate('create_table', table);
      const ddl = `ALTER TABLE ${fromTable} RENAME TO ${table}`;
      return device.migrate('rename_table', table, { fromTable, ddl, schemaVersion: i + 1 });
    });
  }
}

function* batches(scale: number): Generator<WireChangeSet> {
  const rows = (table: string, count: number) =>
    device.write(
      ...Array.from({ length: count * scale }, (_, i) => ({ table, pk: [i], set: { a: i } })),
    );
  yield rows('passed', 100_000);
  yield rows('judged', 20_000);
  yield rows('secrets', 100_000);
  for (const piece of ['a ', '(', "'' ", 'a$b ', '[a b] ', '-- \n']) {
    const texts = Array.from({ length: 7 }, (_, i) => {
      const ddl = `CREATE TABLE t${i} (a); ${piece.repeat((3_500_000 * scale) / piece.length)}`;
      return device.migrate('create_table', `t${i}`, { ddl });
    });
    const schemaMigrations = texts.flatMap((set) => set.schemaMigrations);
    yield { ...device.write(), schemaMigrations };
  }
}

async function sendAll({ server, owner, scale }: AttackContext): Promise<Attack> {
  const client = await TestClient.join(server.wsUrl, device, owner);
  const send = async () => {
    let count = 0;
    for (const changeSet of batches(scale)) {
      client.socket.send(JSON.stringify({ type: 'apply_changes', changes: [changeSet] }));
      const { type } = await client.nextWhere(
        (message) => message.type === 'apply_result' || message.type === 'error',
      );
      assert.match(type, /^(apply_result|error)$/);
      count++;
    }
    const reader = await TestClient.join(server.wsUrl, new Device(101), owner);
    reader.send({ type: 'get_changes' });
    await reader.nextWhere(({ type, hasMore }) => type === 'changes' && hasMore !== true);
    return count;
  };
  const sent = send();
  return { ended: async () => `${await sent} batches answered, and read` };
}
