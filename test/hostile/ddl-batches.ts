/**
 * Short messages of DDL within the default limits: names that are used again and again, and tables
 * of many names; then late changes for them.
 */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import type { Attack, AttackContext, Scenario } from './scenarios.ts';

const MIB = 1024 * 1024;
/** How often a name is used, and how many names a table has. */
const TIMES = 900;
/** Renames in one batch: each reads those before it. */
const RENAMES = 100;
/** Cycles of one name in one set. */
const CYCLES = 250;
const LATE = 100_000;
/** Names of a table that a sender is told of one by one. */
const TOLD_NAMES = 60;
/** A text in which every place begins the name, but for its end. */
const TEXT_BYTES = 3_900_000;
/** Statements without a text, and drops of one message beside them. */
const INDEXES = 5000;
const DROPS = 2000;
const HOSTILE_NAME = `${'a'.repeat(20)}b${'a'.repeat(1000)}`;

export const DDL_BATCHES: readonly Scenario[] = [
  {
    name: 'names that are used again and again, and late changes for them',
    args: [
      ...['--hooks', fileURLToPath(new URL('hooks/filtering.mjs', import.meta.url))],
      ...['--hooks-timeout-ms', '60000'],
    ],
    // One message of many changes, what it is parsed to, and its answer.
    capBytes: 512 * MIB,
    load: (scale) => ({ transactions: Math.ceil(400 * scale), bytes: 1000 }),
    heldUpMsMax: 250,
    attack: sendAll,
  },
];

function inOne(sets: readonly WireChangeSet[]): WireChangeSet[] {
  return sets.slice(-1).map((last) => {
    const schemaMigrations = sets.flatMap((set) => set.schemaMigrations);
    return { ...last, schemaMigrations };
  });
}

function* inParts(sets: readonly WireChangeSet[]): Generator<WireChangeSet[]> {
  for (let i = 0; i < sets.length; i += RENAMES) yield inOne(sets.slice(i, i + RENAMES));
}

function* batches(scale: number): Generator<WireChangeSet[]> {
  const late = new Device(100, Date.now() - 2_000_000);
  const device = new Device(100, Date.now() - 1_000_000);
  const times = Math.ceil(TIMES * scale);
  const cycles = (table: string, count = times) =>
    Array.from({ length: count }, () => [
      device.migrate('create_table', table),
      device.migrate('drop_table', table),
    ]).flat();
  const rename = (fromTable: string, table: string) =>
    device.migrate('rename_table', table, { fromTable });
  const chain = (table: string, count = times) => [
    device.migrate('create_table', `${table}0`),
    ...Array.from({ length: count }, (_, i) => rename(`${table}${i}`, `${table}${i + 1}`)),
  ];
  /** Its rows wait for a name that was dropped twice since: none of its own tells when. */
  const ending = (table: string) => {
    const [second, third] = [{ schemaVersion: 2 }, { schemaVersion: 3 }];
    return [
      device.migrate('create_table', table, second),
      device.migrate('rename_table', `${table}_y`, { fromTable: table, ...second }),
      device.migrate('drop_table', `${table}_y`, second),
      device.migrate('create_table', `${table}_y`, third),
      device.migrate('rename_table', `${table}_z`, { fromTable: `${table}_y`, ...third }),
      device.migrate('drop_table', `${table}_z`, third),
    ];
  };
  const rowsOf = (tables: (i: number) => string, count: number) =>
    late.write(
      ...Array.from({ length: count }, (_, i) => ({ table: tables(i), pk: [i], set: { a: 1 } })),
    );
  const cycled = cycles('cycled', Math.ceil(CYCLES * scale));
  yield inOne([...cycled, device.migrate('create_table', 'cycled')]);
  yield cycles('cycled_apart');
  yield Array.from({ length: times }, () => inOne(cycles('cycled_at_once', 1))).flat();
  yield* inParts(
    Array.from({ length: times }, (_, i) => [
      device.migrate('create_table', 'reused'),
      rename('reused', `reused_${i}`),
    ]).flat(),
  );
  yield* inParts(
    Array.from({ length: times }, (_, i) => rename(`swung${i % 2}`, `swung${(i + 1) % 2}`)),
  );
  yield* inParts(chain('live'));
  yield* inParts([...chain('gone'), device.migrate('drop_table', `gone${times}`)]);
  const drop = (table: string) => device.migrate('drop_table', table, { schemaVersion: 2 });
  const drops = Array.from({ length: Math.ceil(DROPS * scale) }, (_, i) => `dropped${i}`);
  // A drop searches what came since its table was made.
  const searched = [HOSTILE_NAME, 'aa', 'σσσ'];
  yield inOne([...searched, ...drops].map((table) => device.migrate('create_table', table)));
  const empty = Array.from({ length: Math.ceil(INDEXES * scale) }, (_, i) => `e${i}`);
  yield inOne(empty.map((name) => device.migrate('add_index', name, { ddl: '' })));
  yield inOne(drops.map(drop));
  // A database may have 16 MiB of DDL: of two bytes each there is room for fewer.
  for (const [name, letter, share] of [
    ['i0', 'a', 1],
    ['i1', 'a', 1],
    ['i2', 'Σ', 1 / 8],
  ] as const) {
    const ddl = letter.repeat(TEXT_BYTES * scale * share);
    yield [device.migrate('add_index', name, { ddl })];
  }
  for (const table of searched) yield [drop(table)];
  for (const table of ['cycled', 'reused']) yield [rowsOf(() => table, LATE * scale)];
  for (const table of ['live', 'gone']) yield [rowsOf((i) => `${table}${i}`, times)];
  for (const names of [TOLD_NAMES, times]) {
    const table = `ended${names}_`;
    const last = `${table}${names}`;
    yield* inParts([...chain(table, names), device.migrate('drop_table', last)]);
    yield [new Device(100).write({ table: last, pk: [1], set: { a: 1 } })];
    yield inOne(ending(last));
    yield [rowsOf((i) => `${table}${i % names}`, LATE * scale)];
  }
}

function isAnswer({ type }: { type: string }): boolean {
  return type === 'apply_result' || type === 'error';
}

async function sendAll({ server, owner, scale }: AttackContext): Promise<Attack> {
  const client = await TestClient.join(server.wsUrl, new Device(100), owner);
  const send = async () => {
    let count = 0;
    for (const changes of batches(scale)) {
      client.send({ type: 'apply_changes', changes });
      const { type, message } = await client.nextWhere(isAnswer);
      assert.equal(type, 'apply_result', String(message));
      count++;
    }
    const reader = await TestClient.join(server.wsUrl, new Device(101), owner);
    reader.send({ type: 'get_snapshot' });
    await reader.next('snapshot_complete');
    return count;
  };
  const sent = send();
  return {
    async ended() {
      const count = await sent;
      assert.equal(count, [...batches(scale)].length);
      return `${count} batches answered, and read`;
    },
  };
}
