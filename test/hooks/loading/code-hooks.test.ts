/** What embedding code may give for hooks: it is asked, or refused, and never passed over. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { defineHooks } from '../../../src/hooks/define-hooks.ts';
import { HookLoadError } from '../../../src/hooks/load-error.ts';
import type { CodeHooks } from '../../../src/hooks/loading/code-hooks.ts';
import { loadHooks } from '../../../src/hooks/loading/loader.ts';
import { createCoordinatorServer } from '../../../src/server.ts';
import { createDir } from '../../config/temp-dir.ts';
import { surroundings } from '../support.ts';

const hooks = { onAuthorize: () => false };
const defined = defineHooks({ name: 'defined', hooks });

async function load(code: unknown) {
  const config = { auth: { mode: 'none' as const, tokens: [] }, hooks: { modules: [] } };
  const loaded = await loadHooks(config, code as CodeHooks, { surroundings: surroundings() });
  return loaded.map((module) => [module.name, Object.keys(module.hooks)]);
}

const inCode = [['code', ['onAuthorize']]];

describe('hooks from code', () => {
  const taken: Record<string, [given: unknown, loaded: unknown]> = {
    'an object': [hooks, inCode],
    'a list': [
      [hooks, defined],
      [...inCode, ['defined', ['onAuthorize']]],
    ],
    'a list of many alike': [
      [hooks, hooks],
      [...inCode, ['code#2', ['onAuthorize']]],
    ],
    'a factory': [() => hooks, inCode],
    'a factory in a list, with options': [[[(given: object) => given, hooks]], inCode],
    'a promise': [Promise.resolve(hooks), inCode],
    'a promise in a list': [[Promise.resolve(defined)], [['defined', ['onAuthorize']]]],
    'an object below "hooks"': [{ hooks }, inCode],
    'a transpiled module': [
      { __esModule: true, default: { default: defined } },
      [['defined', ['onAuthorize']]],
    ],
    'an entry with a place': [{ module: defined }, [['defined', ['onAuthorize']]]],
    'a name': [['sync-coordinator/hooks/read-only'], [['read-only', ['onAuthorize']]]],
    'an instance of a class': [
      new (class {
        onAuthorize() {
          return false;
        }
      })(),
      [['code', []]],
    ],
    'nothing at all': [undefined, []],
    'an object without any': [{}, []],
    'those that are switched off': [{ onAuthorize: undefined }, []],
    'an empty list': [[], []],
  };
  for (const [shape, [given, loaded]] of Object.entries(taken)) {
    it(`may be ${shape}`, async () => assert.deepEqual(await load(given), loaded));
  }

  it('may be a module as import() gives it', async (t) => {
    const dir = createDir(t);
    const path = join(dir, 'a.mjs');
    writeFileSync(path, 'export default { onAuthorize: () => true };');
    assert.deepEqual(await load(import(pathToFileURL(path).href)), inCode);
  });

  const refused: Record<string, [given: unknown, reason: RegExp]> = {
    null: [null, /gives null/],
    'a switch': [false, /gives boolean/],
    'a map': [new Map([['onAuthorize', hooks.onAuthorize]]), /gives a Map, and no hooks/],
    'a list in a list': [[[hooks], [[hooks]]], /gives an array/],
    'a pair that is no list of entries': [[defined, { tables: ['a'] }], /gives no hooks/],
    'hooks beside a default export': [
      { default: hooks, onClientConnect: () => true },
      /onClientConnect is beside its default export/,
    ],
    'hooks below hooks': [
      { onClientConnect: () => true, hooks },
      /onClientConnect is beside "hooks"/,
    ],
    'two exports with hooks': [
      { default: { onClientConnect: () => true }, hooks },
      /hooks\.onAuthorize is beside its default export/,
    ],
    'a function with hooks': [
      Object.assign(() => hooks, { onClientConnect: () => true }),
      /is a function that has onClientConnect/,
    ],
    'what a factory gives below hooks': [
      () => ({ onClientConnect: () => true, hooks }),
      /onAuthorize is a member of "hooks"/,
    ],
    'a factory that gives a list': [() => [hooks], /gives an array/],
    'a place with something else': [
      { module: defined, onAuthorize: () => true },
      /"onAuthorize" is none of module, /,
    ],
    'an object with other members': [{ authorise: () => true }, /gives no hooks/],
  };
  for (const [shape, [given, reason]] of Object.entries(refused)) {
    it(`may not be ${shape}`, async () => {
      await assert.rejects(load(given), (error: Error) => {
        assert.ok(error instanceof HookLoadError);
        assert.match(error.message, reason);
        return true;
      });
    });
  }

  it('may not be a promise that rejects, alone or in a list', async () => {
    const rejecting = () => Promise.reject(new Error('no network'));
    const refusal = { name: 'HookLoadError', message: /its promise rejected: no network/ };
    await assert.rejects(load(rejecting()), refusal);
    await assert.rejects(load([() => hooks, rejecting()]), refusal);
  });

  it('are told apart from the options of the server', async () => {
    await assert.rejects(
      createCoordinatorServer(hooks as object),
      /onAuthorize.*belongs into hooks/,
    );
  });
});

describe('defineHooks', () => {
  it('refuses what it would pass over', () => {
    const both: object = { name: 'a', hooks, setup: () => hooks };
    assert.throws(
      () => defineHooks(both as { name: string; hooks: object }),
      /both hooks and setup/,
    );
    const beside: object = { name: 'a', setup: () => ({}), onAuthorize: () => true };
    assert.throws(
      () => defineHooks(beside as { name: string; hooks: object }),
      /has onAuthorize beside its hooks/,
    );
  });
});
