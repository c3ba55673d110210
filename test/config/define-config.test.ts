/** What the compiler makes of a configuration: `npm run check` fails where an error isn't one. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { defineConfig, defineHooks, Type } from 'sync-coordinator';

declare module 'sync-coordinator' {
  interface HookModuleOptions {
    '@acme/sync-hooks': { level: number };
  }
}

const mine = defineHooks({
  name: 'mine',
  options: Type.Object({ count: Type.Integer({ default: 1 }), names: Type.Array(Type.String()) }),
  setup({ count, names }, { metrics }) {
    const counter = metrics.counter('calls_total', 'Calls.', ['kind']);
    return {
      onAuthorize(client, operation) {
        counter.inc({ kind: operation.type });
        // @ts-expect-error: there is no such label
        counter.inc({ king: 'x' });
        // @ts-expect-error: a list of texts
        const [first]: number[] = names;
        return client.userId === String(first) && count > 0;
      },
    };
  },
});

it('infers the options of each entry from its module', () => {
  const config = defineConfig({
    port: 1,
    hooks: [
      './hooks/any.ts',
      ['./hooks/any.ts', { anything: 1 }],
      mine,
      [mine, { names: ['a'] }],
      ['@acme/sync-hooks', { level: 1 }],
      ['sync-coordinator/hooks/jwt', { secret: 'x', audience: ['a'] }],
      { module: mine, options: { names: ['a'] }, databases: ['a'], tables: ['b'], enforce: 'pre' },
    ],
  });
  assert.equal(Array.isArray(config.hooks) && config.hooks.length, 7);
  defineConfig({ hooks: { modules: [[mine, { count: 2 }]], onReject: 'revert' } });
});

it('refuses what no module takes', () => {
  // @ts-expect-error: names are texts
  defineConfig({ hooks: [[mine, { names: [1] }]] });
  // @ts-expect-error: a level is a number
  defineConfig({ hooks: [['@acme/sync-hooks', { level: 'high' }]] });
  // @ts-expect-error: misspelt
  defineConfig({ hooks: [['sync-coordinator/hooks/jwt', { audeince: 'app' }]] });
  // @ts-expect-error: a level is a number, wherever it stands
  defineConfig({ hooks: [{ module: '@acme/sync-hooks', options: { level: 'high' } }] });
  // @ts-expect-error: misspelt
  defineConfig({ hooks: [{ module: mine, database: ['a'] }] });
  // @ts-expect-error: it needs a file
  defineConfig({ hooks: { modules: [['sync-coordinator/hooks/audit-log', {}]] } });
  // @ts-expect-error: no such option
  defineConfig({ hooks: { onRejected: 'revert' } });
  assert.throws(() => defineHooks({ name: '', hooks: {} }), /needs a name/);
});
