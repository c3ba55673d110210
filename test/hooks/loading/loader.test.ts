/** How hook modules are found, made and ordered, and how each fault fails the start. */

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createHookChain } from '../../../src/hooks/chain/chain.ts';
import { HookLoadError } from '../../../src/hooks/load-error.ts';
import type { HookEntry } from '../../../src/hooks/loading/hook-entry.ts';
import { type HooksConfig, loadHooks } from '../../../src/hooks/loading/loader.ts';
import type { CoordinatorHooks } from '../../../src/hooks/types.ts';
import { surroundings, untyped } from '../support.ts';

let dir = '';

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hooks-'));
});
after(() => rm(dir, { recursive: true, force: true }));

/** A module file with this text; its absolute path, as the config gives it. */
async function file(name: string, text: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, text);
  return path;
}

function load(
  modules: HookEntry[],
  auth: Partial<HooksConfig['auth']> = {},
  code?: CoordinatorHooks,
) {
  const config = { auth: { mode: 'none' as const, tokens: [], ...auth }, hooks: { modules } };
  return loadHooks(config, code, { fromDir: dir, surroundings: surroundings() });
}

const ALLOW = '{ onAuthorize: () => true }';

describe('a module', () => {
  const shapes: [string, string, string][] = [
    ['an object as default export', 'object.ts', `export default ${ALLOW} as object;`],
    ['a function as default export', 'made.ts', `export default (): object => (${ALLOW});`],
    ['an async function', 'async.mjs', `export default async () => (${ALLOW});`],
    ['an object named hooks', 'named.mjs', `export const hooks = ${ALLOW};`],
    ['a CommonJS object', 'object.cjs', `module.exports = ${ALLOW};`],
    [
      'a CommonJS object with itself as default',
      'self.cjs',
      `module.exports = ${ALLOW}; module.exports.default = module.exports;`,
    ],
    [
      'a transpiled default export',
      'es.cjs',
      `exports.__esModule = true; exports.default = ${ALLOW};`,
    ],
    ['CommonJS that names hooks', 'named.cjs', `exports['hoo' + 'ks'] = ${ALLOW};`],
    [
      'an instance of a class',
      'class.mjs',
      'export default new (class { onAuthorize() { return true; } helper() {} })();',
    ],
    [
      'hooks of which some are switched off',
      'off.mjs',
      'export default { onAuthorize: () => true, onClientConnect: undefined };',
    ],
  ];
  for (const [name, fileName, text] of shapes) {
    it(`may be ${name}`, async () => {
      const [loaded] = await load([await file(fileName, text)]);
      assert.equal(loaded?.hooks.onAuthorize?.call(loaded.hooks, ...anyone), true);
      assert.equal(loaded?.name, `./${fileName}`);
      assert.ok(loaded?.source.startsWith('file:') && loaded.source.endsWith(fileName));
    });
  }

  it('gets its options, or an empty object', async () => {
    const path = await file(
      'options.mjs',
      'export default ({ answer = true }) => ({ onAuthorize: () => answer });',
    );
    const loaded = await load([path, [path, { answer: false }], [path, undefined]]);
    const answers = loaded.map(({ hooks }) => hooks.onAuthorize?.(...anyone));
    assert.deepEqual(answers, [true, false, true]);
    assert.deepEqual(
      loaded.map(({ name }) => name),
      ['./options.mjs', './options.mjs#2', './options.mjs#3'],
    );
  });
});

const anyone = [
  { siteId: new Uint8Array(16) },
  { type: 'get_changes', databaseId: 'db' },
  { signal: new AbortController().signal },
] as const;

describe('a module that imports this package', () => {
  it('speaks to the client with its SyncError', async () => {
    const path = await file(
      'limiter.ts',
      `import { type CoordinatorHooks, SyncError } from 'sync-coordinator';
      export default {
        onAuthorize() {
          throw new SyncError('RATE_LIMITED', 'slower, please', { retryAfterMs: 1500 });
        },
      } satisfies CoordinatorHooks;`,
    );
    const chain = createHookChain(await load([path]), { timeoutMs: 1000 });
    const refusal = { code: 'RATE_LIMITED', message: 'slower, please', retryAfterMs: 1500 };
    await assert.rejects(chain.authorize(anyone[0], anyone[1]), refusal);
  });
});

describe('the order', () => {
  it('is the token whitelist, the modules of the config, the hooks from code', async () => {
    const [one, two] = [
      await file('one.mjs', `export default ${ALLOW};`),
      await file('two.mjs', `export default ${ALLOW};`),
    ];
    const auth = { mode: 'token-whitelist' as const, tokens: ['t'] };
    const loaded = await load([two, one], auth, { onAuthorize: () => true });
    assert.deepEqual(
      loaded.map(({ name }) => name),
      ['token-whitelist', './two.mjs', './one.mjs', 'code'],
    );
    assert.deepEqual(Object.keys(loaded[0]?.hooks ?? {}), ['onAuthenticate']);
  });

  it('has nothing in it without modules, also with empty hooks from code', async () => {
    assert.deepEqual(await load([], {}, {}), []);
  });

  it('holds a listed token whitelist where it is listed, with auth.tokens or its own', async () => {
    const path = await file('three.mjs', `export default ${ALLOW};`);
    const whitelist = 'sync-coordinator/hooks/token-whitelist';
    const auth = { mode: 'custom' as const, tokens: ['t'] };
    const loaded = await load([path, whitelist, [whitelist, { tokens: ['u'] }]], auth);
    const context = { databaseId: 'db', transport: 'http', headers: {}, ...anyone[2] } as const;
    const accepts = (token: string) =>
      loaded.map(({ hooks }) => {
        const answer = hooks.onAuthenticate?.({ ...context, token, siteId: new Uint8Array(16) });
        return answer !== undefined;
      });
    assert.deepEqual(accepts('t'), [false, true, false]);
    assert.deepEqual(accepts('u'), [false, false, true]);
  });
});

describe('the start fails', () => {
  const faults: [string, string, RegExp][] = [
    [
      'a failure while loading',
      "throw new Error('no database');",
      /fault\d+\.mjs.*failed while loading.*no database/,
    ],
    ['a syntax error', 'export default {', /fault\d+\.mjs.*failed while loading/],
    [
      'a missing import',
      "import 'no-such-package-here'; export default {};",
      /failed while loading.*no-such-package-here/,
    ],
    [
      'no default export',
      'export const answer = 42;',
      /no default export: export an object of hooks/,
    ],
    [
      'hooks outside a default export',
      'export const onAuthorize = () => true;',
      /put onAuthorize into it/,
    ],
    [
      'a misspelt hook',
      'export default { onAuthorise: () => true };',
      /no hook named onAuthorise; did you mean onAuthorize\?/,
    ],
    [
      'a hook without its on',
      'export default { authorize: () => true, onClientConnect: () => true };',
      /no hook named authorize; did you mean onAuthorize\?/,
    ],
    [
      'a hook in another case',
      'export default { OnAuthorize: () => true };',
      /no hook named OnAuthorize; did you mean onAuthorize\?/,
    ],
    [
      'an unknown hook',
      'export default { onFullMoonRises: () => true };',
      /no hook named onFullMoonRises; there are onAuthenticate, /,
    ],
    [
      'a misspelt hook of a class',
      'export default new (class { onAuthorise() {} })();',
      /no hook named onAuthorise/,
    ],
    [
      'a value for a hook',
      'export default { onAuthorize: true };',
      /onAuthorize is a boolean, not a function/,
    ],
    [
      'null for a hook',
      'export default { onAuthorize: null };',
      /onAuthorize is null, not a function/,
    ],
    ['an empty object', 'export default {};', /gives no hooks/],
    [
      'only hooks that are switched off',
      'export default { onAuthorize: undefined };',
      /gives no hooks/,
    ],
    ['text', "export default 'onAuthorize';", /gives string, not an object/],
    ['a function that gives nothing', 'export default () => {};', /gives undefined, not an object/],
    ['a function that gives null', 'export default () => null;', /gives null, not an object/],
    [
      'a function that throws',
      "export default () => { throw new Error('audience is missing'); };",
      /setup failed: audience is missing/,
    ],
    [
      'a function that rejects',
      "export default async () => { throw 'audience is missing'; };",
      /setup failed: audience is missing/,
    ],
    ['a class', 'export default class { onAuthorize() {} }', /setup failed: Class constructor/],
  ];
  for (const [index, [name, text, message]] of faults.entries()) {
    it(`for ${name}`, async () => {
      const fileName = `fault${index}.mjs`;
      await assert.rejects(load([await file(fileName, text)]), (error) => {
        assert.ok(error instanceof HookLoadError);
        assert.equal(error.module, `./${fileName}`);
        assert.match(error.message, new RegExp(`^hook module \\./${fileName}: `));
        assert.match(error.message, message);
        return true;
      });
    });
  }

  it('for a file that is not there', async () => {
    const missing = load([join(dir, 'missing.ts')]);
    await assert.rejects(missing, /hook module \.\/missing\.ts: .*not found/);
  });

  it('for a package that is not there', async () => {
    const missing = load(['@acme/no-such-hooks']);
    await assert.rejects(missing, /hook module @acme\/no-such-hooks: .*not found/);
  });

  it('for options to an object', async () => {
    const path = await file('plain.mjs', `export default ${ALLOW};`);
    await assert.rejects(load([[path, { audience: 'a' }]]), /takes no options/);
  });

  it('for a misspelt hook from code', async () => {
    const code = untyped({ onAuthentcate: () => undefined });
    await assert.rejects(load([], {}, code), /code: .*did you mean onAuthenticate\?/);
  });

  it('for auth.mode custom when nobody authenticates', async () => {
    const path = await file('four.mjs', `export default ${ALLOW};`);
    const custom = { mode: 'custom' as const };
    await assert.rejects(load([path], custom), /hooks: auth\.mode is 'custom'.*add one/);
    await load([path], custom, { onAuthenticate: () => undefined });
  });
});
