/**
 * The contract of hook modules, as tests for `node:test`. Modules of other packages run them as
 * well.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HookModule } from '../hooks/define-hooks.ts';
import { isHookDefinition } from '../hooks/define-hooks.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import { Device } from './device.ts';
import { type RuleExamples, ruleContract } from './hook-contract-rules.ts';
import { askHooks, type HarnessOptions, type HookHarness } from './hook-harness.ts';

export interface HookContractOptions extends HarnessOptions, RuleExamples {
  module: HookModule<never>;
  /** The name under which the tests are reported. */
  name?: string;
}

const CONCURRENT_CALLS = 50;
const RELOADS = 3;

/** Batches that a client may send, and that a module has to cope with. */
function batches(): Record<string, WireChangeSet[]> {
  const device = new Device(1);
  const odd = { __proto__: null, big: { __bigint: '9007199254740993' }, bytes: { __bin: 'AAEC' } };
  return {
    'nothing at all': [],
    'a transaction without changes': [{ ...device.write(), changes: [] }],
    'DDL only': [device.migrate('create_table', 'tasks')],
    'a row': [device.write({ table: 'tasks', pk: [1], set: { title: 'x', done: false } })],
    'values of every kind': [
      device.write({
        table: 'tasks',
        pk: ['a', 1, null, { __bigint: '7' }, { __bin: 'AA==' }],
        set: { ...odd, text: 'ü\n\0', none: null, list: [1, { a: [] }], number: -0.5 },
      }),
    ],
    'a key and a value that can be changed in place': [
      device.write({ table: 'tasks', pk: [{ id: [2, 1] }], set: { tags: ['b', 'a'] } }),
    ],
    'several changes under one HLC': [underOneHlc(device)],
    'a delete': [device.write({ table: 'tasks', pk: [1], delete: true })],
    'names that mean something to JavaScript': [
      device.write({ table: 'constructor', pk: ['__proto__'], set: { toString: 1 } }),
    ],
    'many transactions': Array.from({ length: 200 }, (_, i) =>
      device.write({ table: 'tasks', pk: [i], set: { title: `${i}` } }),
    ),
  };
}

/**
 * The protocol allows several changes under one HLC: the module has to decide about each of them.
 */
function underOneHlc(device: Device): WireChangeSet {
  const row = { table: 'tasks', set: { title: 'x', done: false } };
  const set = device.write({ ...row, pk: [1] }, { ...row, pk: [2] });
  return { ...set, changes: set.changes.map((change) => ({ ...change, hlc: set.hlc })) };
}

/** Runs the suite. A module may refuse anything, but it has to answer. */
export function hookModuleContract({ name, module, ...options }: HookContractOptions): void {
  const title = name ?? (isHookDefinition(module) ? module.name : 'the hook module');
  const start = (t: { after(work: () => unknown): void }) => askHooks(t, module, options);

  describe(`${title}: the contract of hook modules`, () => {
    it('is set up, and closed as often as one likes', async (t) => {
      const harness = await start(t);
      assert.ok(Object.values(harness.has).includes(true), 'it has a hook');
      await harness.close();
      await harness.close();
    });

    if (isHookDefinition(module) && module.options !== undefined) {
      it('refuses options that it does not know', async (t) => {
        const misspelt = { ...Object(options.options), 'no such option': 1 };
        await assert.rejects(askHooks(t, module, { ...options, options: misspelt }), {
          name: 'HookLoadError',
        });
      });
    }

    for (const [what, batch] of Object.entries(batches())) {
      it(`answers as it should about ${what}`, async (t) => {
        const harness = await start(t);
        const before = JSON.stringify(batch);
        await askEverything(harness, batch);
        assert.deepEqual(harness.failures, []);
        assert.equal(JSON.stringify(batch), before, 'what it was given is as it was');
      });
    }

    it('knows clients of whom nothing is known, in databases of any name', async (t) => {
      const client = { userId: undefined, metadata: undefined, databaseId: 'a:b.c-d_e' };
      const harness = await askHooks(t, module, { ...options, client });
      for (const batch of Object.values(batches())) await askEverything(harness, batch);
      assert.deepEqual(harness.failures, []);
    });

    for (const fails of [false, true]) {
      const what = fails ? 'goes on after a reload that failed' : 'is loaded anew';
      it(`${what} while a client is there, as often as one likes`, async (t) => {
        const harness = await start(t);
        const [batch = []] = [batches()['a row']];
        await harness.clientHandover();
        for (let i = 0; i < RELOADS; i++) {
          await harness.reload({ fails });
          await askEverything(harness, batch);
        }
        await harness.clientDisconnect();
        assert.deepEqual(harness.failures, []);
      });
    }

    it('answers tokens of any shape', async (t) => {
      const harness = await start(t);
      for (const token of [undefined, '', 'x', 'a.b.c', '\u0000', 'ü'.repeat(10_000)]) {
        await refusable(harness.authenticate({ token }));
        await refusable(harness.authenticate({ token, siteId: undefined }));
      }
      assert.deepEqual(harness.failures, []);
    });

    it('is asked about many things at once', async (t) => {
      const harness = await start(t);
      const [batch = []] = [batches()['a row']];
      await Promise.all(
        Array.from({ length: CONCURRENT_CALLS }, () => askEverything(harness, batch)),
      );
      assert.deepEqual(harness.failures, []);
    });

    ruleContract({ module, ...options });

    it('lets no promise reject that nobody waits for', async (t) => {
      const stray: unknown[] = [];
      const note = (reason: unknown) => stray.push(reason);
      process.on('unhandledRejection', note);
      t.after(() => process.off('unhandledRejection', note));
      const harness = await start(t);
      for (const batch of Object.values(batches())) await askEverything(harness, batch);
      await harness.close();
      await new Promise(setImmediate);
      assert.deepEqual(stray, []);
    });
  });
}

async function askEverything(harness: HookHarness, batch: WireChangeSet[]): Promise<void> {
  const changeCount = batch.reduce((sum, { changes }) => sum + changes.length, 0);
  await refusable(harness.authenticated());
  for (const type of ['get_changes', 'get_snapshot', 'resume_snapshot'] as const) {
    await refusable(harness.authorize({ type }));
  }
  await refusable(harness.authorize({ type: 'apply_changes', changeCount }));
  await refusable(harness.beforeApply(...batch));
  await harness.afterApply(...batch);
  await refusable(harness.beforeSend(...batch));
  await harness.clientHandover();
  await harness.clientDisconnect();
}

/** Ignores a refusal, which a hook may give. The harness records failures. */
async function refusable(call: Promise<unknown>): Promise<void> {
  await call.catch(() => undefined);
}
