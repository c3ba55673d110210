/** Entries of hook modules: where they are looked for, in which order they act, what they are asked about. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig } from '../../../src/config/resolve-config.ts';
import { createHookChain, type HookChain } from '../../../src/hooks/chain/chain.ts';
import { defineHooks } from '../../../src/hooks/define-hooks.ts';
import type { CodeEntry } from '../../../src/hooks/loading/code-hooks.ts';
import { loadHooks } from '../../../src/hooks/loading/loader.ts';
import type { CoordinatorHooks } from '../../../src/hooks/types.ts';
import { type ChangeSet, encodeChangeSet } from '../../../src/protocol/types.ts';
import { createDir } from '../../config/temp-dir.ts';
import {
  afterApply,
  beforeApply,
  CLIENT,
  changeSet,
  REQUEST,
  RESULT,
  surroundings,
  untyped,
} from '../support.ts';

const none = { auth: { mode: 'none' as const, tokens: [] }, hooks: { modules: [] } };
const allow = { onAuthorize: () => true };

function load(entries: CodeEntry[]) {
  return loadHooks(none, entries, { surroundings: surroundings() });
}

async function namesOf(entries: CodeEntry[]): Promise<string[]> {
  return (await load(entries)).map(({ name }) => name);
}

async function chainOf(entries: CodeEntry[]): Promise<HookChain> {
  return createHookChain(await load(entries), { timeoutMs: 5000 });
}

const named = (name: string, more: { after?: string[]; requires?: string[] } = {}) =>
  defineHooks({ name, hooks: allow, ...more });

describe('a package', () => {
  const pack = (name: string) => `export default { onAuthorize: () => '${name}' };`;
  const files = (dir: string, name: string) => ({
    [`${dir}/node_modules/@acme/hooks/package.json`]:
      '{ "type": "module", "exports": "./index.js" }',
    [`${dir}/node_modules/@acme/hooks/index.js`]: pack(name),
  });

  it('is looked for from the file that names it, not from where the server was started', async (t) => {
    const cwd = createDir(t, {
      ...files('.', 'of the working directory'),
      ...files('conf', 'beside the configuration'),
      'conf/sync.json':
        '{ "hooks": ["@acme/hooks", ["@acme/hooks", {}], { "module": "@acme/hooks" }] }',
    });
    const answersOf = async (options: Parameters<typeof loadConfig>[0]) => {
      const config = loadConfig({ cwd, env: {}, ...options });
      config.hooks.modules = config.hooks.modules.map((entry) =>
        Array.isArray(entry)
          ? entry[0]
          : 'options' in Object(entry)
            ? { ...Object(entry), options: undefined }
            : entry,
      );
      const loaded = await loadHooks(config, undefined, { surroundings: surroundings() });
      return loaded.map(({ hooks }) =>
        hooks.onAuthorize?.(...([] as never as [never, never, never])),
      );
    };
    const besideIt = Array(3).fill('beside the configuration');
    assert.deepEqual(await answersOf({ configPath: 'conf/sync.json' }), besideIt);
    const env = { SYNC_HOOKS: '@acme/hooks' };
    assert.deepEqual(await answersOf({ env }), ['of the working directory']);
    const place = { module: '@acme/hooks', from: 'conf' };
    assert.deepEqual(await answersOf({ overrides: { hooks: [place] } }), [
      'beside the configuration',
    ]);
  });

  it('of the same name as a file or of this package is named as before', (t) => {
    const cwd = createDir(t, {
      'conf/sync.json':
        '{ "hooks": ["./a.ts", "sync-coordinator/hooks/jwt", { "module": "./b.ts" }] }',
    });
    const { hooks } = loadConfig({ cwd, env: {}, configPath: 'conf/sync.json' });
    const placed = { module: join(cwd, 'conf/b.ts') };
    assert.deepEqual(hooks.modules, [join(cwd, 'conf/a.ts'), 'sync-coordinator/hooks/jwt', placed]);
  });
});

describe('the order', () => {
  it('is as listed, with pre before and post after the others', async () => {
    const entries: CodeEntry[] = [
      { module: named('late'), enforce: 'post' },
      named('one'),
      { module: named('early'), enforce: 'pre' },
      { module: named('early too'), enforce: 'pre' },
      named('two'),
    ];
    assert.deepEqual(await namesOf(entries), ['early', 'early too', 'one', 'two', 'late']);
  });

  it('is made to fit what modules come after, and is else left alone', async () => {
    const entries = [
      named('ownership', { requires: ['roles'] }),
      named('audit', { after: ['ownership', 'not there'] }),
      named('other'),
      named('roles'),
    ];
    assert.deepEqual(await namesOf(entries), ['other', 'roles', 'ownership', 'audit']);
  });

  it('puts a module behind all that have the name', async () => {
    const entries = [named('audit', { after: ['roles'] }), named('roles'), named('roles')];
    assert.deepEqual(await namesOf(entries), ['roles', 'roles#2', 'audit']);
  });

  it("can't be met in a circle, and not without what is required: nothing is set up", async () => {
    let isSetUp = false;
    const first = defineHooks({
      name: 'first',
      setup: () => {
        isSetUp = true;
        return allow;
      },
    });
    const circle = [
      first,
      named('a', { after: ['b'] }),
      named('b', { requires: ['c'] }),
      named('c', { after: ['a'] }),
    ];
    await assert.rejects(load(circle), {
      name: 'HookLoadError',
      message: "hook module a: the order can't be met: a after b after c after a",
    });
    await assert.rejects(load([first, named('a', { requires: ['roles'] })]), {
      message: 'hook module a: it requires the module "roles", which is not listed',
    });
    assert.equal(isSetUp, false);
  });
});

describe('the version of the hooks', () => {
  const written = (apiVersion: unknown) => [{ ...named('acme'), apiVersion } as CodeEntry];

  it('of a module that says none is the first', async () => {
    assert.deepEqual(await namesOf([...written(undefined), ...written(1)]), ['acme', 'acme#2']);
  });

  it('that is later than ours is refused with what to install', async () => {
    await assert.rejects(load(written(2)), {
      name: 'HookLoadError',
      message:
        /^hook module acme: it is written for version 2 .* has 1: install .*npm install sync-coordinator@latest[^\n]*$/,
    });
    for (const odd of ['1', 1.5, 0, null]) {
      await assert.rejects(load(written(odd)), /its apiVersion is an integer from 1 on/);
    }
    const after = { ...named('acme'), after: 'roles' } as unknown as CodeEntry;
    await assert.rejects(load([after]), /its after is a list of names/);
  });
});

describe('a module of some databases', () => {
  const refusesAll: Required<CoordinatorHooks> = {
    viewKey: () => 'hidden',
    onAuthenticate: () => {
      throw new Error('no');
    },
    onAuthenticated: () => assert.fail('asked'),
    onAuthorize: () => false,
    onBeforeApplyChanges: (_client, changes) => ({
      approved: [],
      rejected: changes.map(() => ({ reason: 'no' })),
    }),
    onAfterApplyChanges: () => assert.fail('told'),
    onBeforeSendChanges: () => [],
    onClientConnect: () => false,
    onClientHandover: () => assert.fail('told'),
    onClientDisconnect: () => assert.fail('told'),
  };
  const elsewhere = { ...CLIENT, databaseId: 'other' };

  it('is asked about those and about no other', async () => {
    const chain = await chainOf([{ module: refusesAll, databases: ['db'] }]);
    const set = changeSet('t');
    await assert.rejects(chain.authenticate(REQUEST), { code: 'AUTH_FAILED' });
    await assert.rejects(chain.authorize(CLIENT, { type: 'get_changes', databaseId: 'db' }));
    assert.deepEqual((await beforeApply(chain, CLIENT, [set])).approved, []);
    assert.deepEqual(await chain.beforeSend(CLIENT, [encodeChangeSet(set)]), []);

    // Whom nobody knows is let in nowhere.
    assert.equal(await chain.authenticate({ ...REQUEST, databaseId: 'other' }), undefined);
    await chain.authorize(elsewhere, { type: 'get_changes', databaseId: 'other' });
    assert.equal((await beforeApply(chain, elsewhere, [set])).approved.length, 1);
    assert.equal((await chain.beforeSend(elsewhere, [encodeChangeSet(set)])).length, 1);
    assert.notEqual(chain.viewKey(elsewhere), chain.viewKey(CLIENT));
    assert.equal(typeof chain.viewKey(elsewhere), 'string');
    afterApply(chain, elsewhere, [set], { result: RESULT });
    chain.clientDisconnect(elsewhere);
    await chain.settled();
  });

  it('keeps its this, and has its own time limit', async () => {
    class Mine {
      #answer = true;
      onAuthorize() {
        return this.#answer;
      }
      onBeforeApplyChanges(): Promise<never> {
        return new Promise(() => undefined);
      }
    }
    const place = { databases: ['db'], tables: ['todo'], timeoutMs: 1 };
    const chain = await chainOf([{ module: new Mine(), ...place }]);
    await chain.authorize(CLIENT, { type: 'get_changes', databaseId: 'db' });
    await assert.rejects(beforeApply(chain, CLIENT, [changeSet('t')]), {
      code: 'HOOK_FAILED',
      message: /took too long/,
    });
  });
});

/** A transaction of two tables, with a migration of a third. */
function mixed(transactionId = 't'): ChangeSet {
  const {
    changes: [todo],
    ...rest
  } = changeSet(transactionId);
  const {
    changes: [note],
  } = changeSet(transactionId, 'notes');
  assert.ok(todo !== undefined && note !== undefined);
  const at = (opSeq: number) => ({ ...rest.hlc, opSeq });
  const migration = {
    ...{
      type: 'create_table' as const,
      schema: 'main',
      table: 'log',
      hlc: at(3),
      schemaVersion: 1,
    },
    ddl: 'CREATE TABLE log (id INTEGER PRIMARY KEY)',
  };
  const changes = [
    { ...todo, hlc: at(0) },
    { ...note, hlc: at(1) },
    { ...todo, column: 'b', hlc: at(2) },
  ];
  return { ...rest, hlc: at(3), changes, schemaMigrations: [migration] };
}

/** Another transaction, of a later moment. */
function later(table: string): ChangeSet {
  const set = changeSet('later', table);
  const hlc = { ...set.hlc, wallTime: 2n };
  return { ...set, hlc, changes: set.changes.map((change) => ({ ...change, hlc })) };
}

const shapeOf = (sets: readonly ChangeSet[]) =>
  sets.map(({ changes, schemaMigrations }) =>
    [...changes, ...schemaMigrations].map(({ table }) => table).join(),
  );

describe('a module of some tables', () => {
  it('sees changes of these only, and all others pass by where they stood', async () => {
    const seen: string[][] = [];
    const told: string[][] = [];
    const hooks: CoordinatorHooks = {
      onBeforeApplyChanges(_client, sets) {
        seen.push(shapeOf(sets));
        return { approved: sets, rejected: [] };
      },
      onAfterApplyChanges: (_client, sets) => void told.push(shapeOf(sets)),
    };
    const chain = await chainOf([{ module: hooks, tables: ['Todo'] }]);
    const sets = [mixed('t1'), changeSet('t2', 'notes'), changeSet('t3')];
    const { approved } = await beforeApply(chain, CLIENT, sets);
    assert.deepEqual(seen, [['todo,todo', 'todo']]);
    assert.deepEqual(approved, sets);
    await beforeApply(chain, CLIENT, [changeSet('t2', 'notes')]);
    assert.equal(seen.length, 1, 'not asked where nothing is its business');
    afterApply(chain, CLIENT, sets, { result: RESULT });
    await chain.settled();
    assert.deepEqual(told, [['todo,todo', 'todo']]);
  });

  it('is told what became of these only, also where nothing of them is stored', async () => {
    const told: string[][] = [];
    const hooks: CoordinatorHooks = {
      onAfterApplyChanges(_client, sets, { rejected = [] }, { outcomes }) {
        told.push([
          ...[sets, outcomes, rejected].map(({ length }) => String(length)),
          ...outcomes.map(({ change, outcome }) => `${change.table} ${outcome}`),
        ]);
      },
    };
    const chain = await chainOf([{ module: hooks, tables: ['todo'] }]);
    const { changes, schemaMigrations, transactionId } = mixed();
    const refused = { outcome: 'rejected', reason: 'no', code: 'NO' } as const;
    const outcomes = () =>
      [...changes, ...schemaMigrations].map((change) => ({ change, transactionId, ...refused }));
    const rejected = outcomes().map(({ change, reason, code }) => ({
      ...{ table: change.table, reason, code },
    }));
    const result = { ...RESULT, applied: 0, rejected };
    afterApply(chain, CLIENT, [], { result, outcomes });
    // Of others only.
    const others = { ...RESULT, applied: 0, rejected: rejected.slice(1, 2) };
    afterApply(chain, CLIENT, [], { result: others, outcomes: () => outcomes().slice(1, 2) });
    await chain.settled();
    assert.deepEqual(told, [['0', '2', '2', 'todo rejected', 'todo rejected']]);
  });

  it('rejects what it sees, and by a whole transaction what is in one with it', async () => {
    const refuse = (atomic: boolean): CoordinatorHooks => ({
      onBeforeApplyChanges: async () => ({ approved: [], rejected: [{ reason: 'no' }], atomic }),
    });
    const outcome = async (atomic: boolean) => {
      const chain = await chainOf([{ module: refuse(atomic), tables: ['todo'] }]);
      const { approved } = await beforeApply(chain, CLIENT, [mixed(), later('notes')]);
      return shapeOf(approved);
    };
    assert.deepEqual(await outcome(false), ['notes,log', 'notes']);
    assert.deepEqual(await outcome(true), ['notes']);
  });

  it('rewrites what it sees', async () => {
    const chain = await chainOf([
      {
        tables: ['todo'],
        module: {
          onBeforeApplyChanges: (_client, sets) => ({
            approved: sets.map((set) => ({
              ...set,
              changes: set.changes.map((change) =>
                change.type === 'column' ? { ...change, value: 'masked' } : change,
              ),
            })),
            rejected: [],
          }),
        },
      },
    ]);
    const { approved } = await beforeApply(chain, CLIENT, [mixed()]);
    const values = approved.flatMap(({ changes }) =>
      changes.map((change) => (change.type === 'column' ? change.value : undefined)),
    );
    assert.deepEqual(values, ['masked', 'milk', 'masked']);
  });

  it('hides what it sees', async () => {
    const chain = await chainOf([
      { module: { onBeforeSendChanges: () => [] }, tables: ['main.todo'] },
    ]);
    const sent = await chain.beforeSend(
      CLIENT,
      [mixed('t1'), changeSet('t2')].map(encodeChangeSet),
    );
    assert.deepEqual(
      sent.map(({ changes }) => changes.map(({ table }) => table)),
      [['notes']],
    );
    assert.equal(sent[0]?.schemaMigrations.length, 1);
  });

  it('sees DDL that concerns them by its text', async () => {
    let tables: string[] = [];
    const hooks: CoordinatorHooks = {
      onBeforeApplyChanges(_client, approved) {
        tables = shapeOf(approved);
        return { approved, rejected: [] };
      },
    };
    const chain = await chainOf([{ module: hooks, tables: ['todo'] }]);
    const set = mixed();
    const [migration] = set.schemaMigrations;
    assert.ok(migration !== undefined);
    const ddl = 'CREATE TABLE log AS SELECT * FROM todo';
    await beforeApply(chain, CLIENT, [
      { ...set, changes: [], schemaMigrations: [{ ...migration, ddl }] },
    ]);
    assert.deepEqual(tables, ['log']);
  });

  it('fails like any other when it answers nonsense', async () => {
    for (const answer of [undefined, [], { approved: 1 }, Promise.resolve('x')]) {
      const module = { onBeforeApplyChanges: () => answer, onBeforeSendChanges: () => 7 };
      const chain = await chainOf([{ module: untyped(module), tables: ['todo'] }]);
      await assert.rejects(beforeApply(chain, CLIENT, [mixed()]), { code: 'HOOK_FAILED' });
      await assert.rejects(chain.beforeSend(CLIENT, [encodeChangeSet(mixed())]), {
        code: 'HOOK_FAILED',
      });
    }
  });
});

describe('a place that can be no place', () => {
  const wrong: Record<string, [place: object, reason: RegExp]> = {
    'without a module': [{ module: undefined }, /module is missing/],
    'of no database': [{ databases: [] }, /databases is a list of their ids, of one at least/],
    'of a database that is no name': [{ databases: 'db' }, /databases is a list/],
    'of no table': [{ tables: [''] }, /tables is a list/],
    'in no time': [{ timeoutMs: 0 }, /timeoutMs is an integer from 1/],
    'with another order': [{ enforce: 'first' }, /enforce is pre or post/],
  };
  for (const [what, [place, reason]] of Object.entries(wrong)) {
    it(`is refused: ${what}`, async () => {
      await assert.rejects(load([{ module: allow, ...place } as CodeEntry]), reason);
      const hooks = [{ module: 'a', ...place }] as never;
      assert.throws(() => loadConfig({ env: {}, overrides: { hooks } }), /hooks\.modules/);
    });
  }
});
