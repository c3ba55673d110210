/** Batches within the default limits of which no change takes effect: the answers name each of them. */

import assert from 'node:assert/strict';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import type { Attack, AttackContext, Scenario } from './scenarios.ts';

const MIB = 1024 * 1024;
const CHANGES = 99_000;

export const NAMED_BATCHES: readonly Scenario[] = [
  {
    name: 'batches of which each change is named in the answer',
    args: [],
    // One message, what it is parsed to, and its answer.
    capBytes: 512 * MIB,
    load: (scale) => ({ transactions: Math.ceil(400 * scale), bytes: 1000 }),
    heldUpMsMax: 250,
    stored: deletions,
    attack: sendAll,
  },
];

function rowsOf(table: string, scale: number, write: { set: { a: string } } | { delete: true }) {
  return Array.from({ length: CHANGES * scale }, (_, i) => ({ table, pk: [i], ...write }));
}

/** In parts, as they are stored before anything is measured. */
function* deletions(scale: number): Generator<WireChangeSet[]> {
  const later = new Device(101, Date.now());
  const rows = rowsOf('named', scale, { delete: true });
  for (let i = 0; i < rows.length; i += 10_000) yield [later.write(...rows.slice(i, i + 10_000))];
}

async function sendAll({ server, owner, scale }: AttackContext): Promise<Attack> {
  const device = new Device(100);
  const set = { a: 'x' };
  const overtaken = device.write(...rowsOf('named', scale, { set }));
  const foreign = new Device(102).write(...rowsOf('others', scale, { set }));
  const client = await TestClient.join(server.wsUrl, device, owner);
  const overWebSocket = async (changeSet: WireChangeSet): Promise<object> => {
    client.send({ type: 'apply_changes', changes: [changeSet] });
    return client.next('apply_result');
  };
  const overHttp = async (changeSet: WireChangeSet): Promise<object> => {
    const headers = { 'x-site-id': device.siteId };
    const body = JSON.stringify([changeSet]);
    const response = await fetch(`${server.httpUrl}/changes`, { method: 'POST', headers, body });
    assert.equal(response.status, 200);
    const { data } = (await response.json()) as { data: object };
    return data;
  };
  const send = async () => {
    let named = 0;
    for (const apply of [overWebSocket, overHttp]) {
      for (const changeSet of [overtaken, foreign]) {
        const { overtaken: lost, rejected }: { overtaken?: []; rejected?: [] } =
          await apply(changeSet);
        named += (lost ?? rejected ?? []).length;
      }
    }
    return named;
  };
  const sent = send();
  return {
    async ended() {
      const named = await sent;
      assert.equal(named, 4 * overtaken.changes.length);
      return `${named} changes named`;
    },
  };
}
