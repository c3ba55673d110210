/** The contract of hook modules with rules about rows, tested with examples of their authors. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { defineHooks, type HookDefinition, type HookModule } from '../hooks/define-hooks.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import { startCoordinator, type TestOwner } from './coordinator.ts';
import { Device, type RowWrite } from './device.ts';
import { TestClient } from './test-client.ts';

export interface RuleExamples {
  /**
   * Transactions of one device, in order. Later ones depend on earlier ones: for instance, a row is
   * made and then changed. The module's decisions must not depend on how the transactions are sent.
   */
  transactions?: readonly (readonly RowWrite[])[];
  /**
   * A write that the module rejects in an empty database. It must do so for every spelling of the
   * table.
   */
  refused?: RowWrite;
}

interface Ruled extends RuleExamples {
  module: HookModule<never>;
  options?: unknown;
  client?: Partial<ClientIdentity>;
}

type Send = (...sets: WireChangeSet[]) => Promise<unknown[]>;

/** Runs the tests for which there are examples. */
export function ruleContract(ruled: Ruled): void {
  const { transactions = [], refused } = ruled;
  if (transactions.length > 0) {
    it('judges transactions that come together as it does one after the other', async (t) => {
      const join = await start(t, ruled);
      const device = new Device(1);
      const sets = transactions.map((writes) => device.write(...writes));
      const apart = await join('apart');
      const expected: unknown[] = [];
      for (const set of sets) expected.push(...(await apart(set)));
      const together = await join('together');
      assert.deepEqual(await together(...sets), expected, 'sent as one batch');
      const pipelined = await join('pipelined');
      const answers = await Promise.all(sets.map((set) => pipelined(set)));
      assert.deepEqual(answers.flat(), expected, 'sent without waiting for the answers');
    });
  }
  if (refused !== undefined) {
    it('rejects what it rejects under every spelling of the table', async (t) => {
      const join = await start(t, ruled);
      const { table = 't', schema = 'main' } = refused;
      const spellings = [
        { table, schema },
        { table: table.toUpperCase(), schema },
        { table: table.toLowerCase(), schema: schema.toUpperCase() },
      ];
      for (const [i, spelling] of spellings.entries()) {
        const send = await join(`spelling-${i}`);
        const rejected = await send(new Device(1).write({ ...refused, ...spelling }));
        assert.notEqual(rejected.length, 0, `${spelling.schema}.${spelling.table} is rejected`);
      }
    });
  }
}

/**
 * @returns joins a database, and returns a function that sends change sets and resolves to the
 * rejections
 */
async function start(owner: TestOwner, { module, options, client = {} }: Ruled) {
  const { siteId: _, databaseId: __, remoteAddress: ___, ...identity } = client;
  const anybody = defineHooks({
    name: 'the tester',
    hooks: { onAuthenticate: ({ siteId }) => siteId && { ...identity, siteId } },
  });
  const given = module as HookDefinition;
  const entry = options === undefined ? given : ([given, options] as const);
  const { wsUrl } = await startCoordinator(owner, { config: { hooks: [anybody, entry] } });
  return async (databaseId: string): Promise<Send> => {
    const { siteId } = new Device(1);
    const joined = await TestClient.join(wsUrl, { siteId, databaseId }, owner);
    return async (...sets) => {
      const answer = await joined.apply(...sets);
      assert.equal(answer.type, 'apply_result', JSON.stringify(answer));
      const rejected: unknown = Reflect.get(answer, 'rejected');
      return Array.isArray(rejected) ? rejected : [];
    };
  };
}
