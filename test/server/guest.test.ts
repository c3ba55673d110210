/** A program that embeds the coordinator keeps its process as it was, and its imports mean what they meant. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { createDir } from '../config/temp-dir.ts';

const INDEX = new URL('../../dist/src/index.js', import.meta.url).href;
const STEPS = ['imported', 'started', 'reloaded', 'stopped'] as const;

const checked = `defineHooks({ name: 'guest' + String(import.meta?.url ?? __filename), async setup() {
  const later = await import('sync-coordinator');
  if (later.defineHooks !== defineHooks) throw new Error('it has another package');
  return { onAuthorize: () => true };
} })`;
const asModule = `import { defineHooks } from 'sync-coordinator'; export default `;
const asCommonJs = `const { defineHooks } = require('sync-coordinator'); module.exports = `;
const inCommonJs = checked.replace('import.meta?.url ?? ', '');

/** Beside a package.json without a type, so that `.ts` becomes CommonJS. */
const HOOKS = {
  'hooks/a.ts': asModule + inCommonJs,
  'hooks/b.mts': asModule + checked,
  'hooks/c.cjs': `require('./beside.cjs'); ${asCommonJs}${inCommonJs}`,
  'hooks/d.mjs': asModule + checked,
};

/** The embedder's own package of the same name, and files of its own of every kind. */
const APP = {
  'package.json': '{}',
  'node_modules/sync-coordinator/package.json':
    '{ "exports": { "import": "./index.mjs", "require": "./index.cjs" } }',
  'node_modules/sync-coordinator/index.mjs': `export const whose = 'of the app';`,
  'node_modules/sync-coordinator/index.cjs': `exports.whose = 'of the app';`,
  // Found by who answers require, it imports what another thread may answer.
  'hooks/beside.cjs': `const { defineHooks } = require('sync-coordinator');
    import('sync-coordinator').then((later) => { if (later.defineHooks !== defineHooks) process.exit(9); });`,
  'own/esm.mjs': `export { whose } from 'sync-coordinator';`,
  'own/cjs.cjs': `exports.whose = require('sync-coordinator').whose;`,
  'own/later.cjs': `exports.whose = import('sync-coordinator').then(({ whose }) => whose);`,
  'own/typed.ts': `const whose: string = 'typed'; module.exports = { whose };`,
  'own/typed.cts': `const whose: string = 'typed'; module.exports = { whose };`,
  'own/typed.mts': `export const whose: string = 'typed';`,
  'own/module.mjs': `export const whose = 'a module';`,
  'own/bare/index.ts': `module.exports = { whose: 'a folder' };`,
  'own/both.js': `exports.whose = 'JavaScript';`,
  'own/both.ts': `module.exports = { whose: 'TypeScript' };`,
};

/** Everything of the process that can be looked at: the properties of what all programs share, by their identity. */
const LOOK = `
  import Module, { createRequire } from 'node:module';
  import { getHeapStatistics } from 'node:v8';
  import { runInNewContext } from 'node:vm';
  import dns from 'node:dns';
  import events from 'node:events';

  const ids = new Map();
  const idOf = (value) => {
    if (!['object', 'function'].includes(typeof value) || value === null) return String(value);
    if (!ids.has(value)) ids.set(value, '#' + ids.size);
    return ids.get(value);
  };
  const require = createRequire(import.meta.url);
  const shared = { globalThis, process, 'process.env': process.env, console, Module,
    'Module.prototype': Module.prototype, 'Module._extensions': Module._extensions };
  for (const name of Reflect.ownKeys(globalThis).filter((key) => /^[A-Z]/.test(String(key)))) {
    const value = Reflect.getOwnPropertyDescriptor(globalThis, name).value;
    if (typeof value !== 'function') continue;
    shared[name] = value;
    if (value.prototype) shared[name + '.prototype'] = value.prototype;
  }
  for (const name of Module.builtinModules.filter((each) => !/^_|^(sys|punycode|wasi|sqlite|test)/.test(each))) {
    shared['node:' + name] = require(name);
  }
  // What Node.js makes when it is used for the first time is not the coordinator's doing.
  for (const [where, object] of Object.entries(shared)) {
    // There getters are for instances.
    if (where.endsWith('.prototype')) continue;
    for (const key of Reflect.ownKeys(object)) {
      try { Reflect.get(object, key); } catch {}
    }
  }

  export function look() {
    const seen = {
      listeners: JSON.stringify(process.eventNames().map((name) => [String(name), process.listenerCount(name)])),
      gc: runInNewContext('typeof gc'),
      heap: String(getHeapStatistics().heap_size_limit),
      umask: String(process.umask()),
      title: process.title,
      directory: process.cwd(),
      sourceMaps: String(process.sourceMapsEnabled),
      listenersMax: String(events.defaultMaxListeners),
      addresses: String(dns.getDefaultResultOrder?.()),
      stackTraceLimit: String(Error.stackTraceLimit),
      extensions: Object.keys(Module._extensions).join(),
    };
    for (const [where, object] of Object.entries(shared)) {
      for (const key of Reflect.ownKeys(object)) {
        const { value, get, set, enumerable } = Reflect.getOwnPropertyDescriptor(object, key);
        seen[where + ' ' + String(key)] = [value, get, set].map(idOf).join() + ',' + enumerable;
      }
    }
    return seen;
  }
`;

/** Says what is other than before, after each step. */
const EMBEDDER = `
  import { cpSync, readdirSync } from 'node:fs';
  import { createRequire } from 'node:module';
  import { look } from './look.mjs';

  const [, , index, modules] = process.argv;
  const require = createRequire(import.meta.url);

  /** What files of our own come to, which nobody has loaded before. */
  async function probe(step) {
    cpSync('own', 'own-' + step, { recursive: true });
    const outcomes = {};
    const note = async (how, load) => {
      outcomes['probe ' + how] = await load().then(
        async (module) => String(await (module.whose ?? module.default?.whose)),
        (error) => String(error.code ?? error.name),
      );
    };
    for (const name of [...readdirSync('own'), 'both']) {
      await note('import ' + name, () => import('./own-' + step + '/' + name));
      await note('require ' + name, async () => require('./own-' + step + '/' + name));
    }
    return outcomes;
  }
  const everything = async (step) => ({ ...look(), ...(await probe(step)) });

  await fetch('data:,').then((response) => response.text());
  await everything('first');
  const before = await everything('before');
  const changed = {};
  async function note(step) {
    const now = await everything(step);
    changed[step] = Object.keys({ ...before, ...now }).filter((key) => before[key] !== now[key])
      .map((key) => key + ': ' + before[key] + ' -> ' + now[key]);
  }

  const { createCoordinatorServer, loadConfig } = await import(index);
  await note('imported');
  const overrides = { port: 0, host: '127.0.0.1', storage: 'memory:', hooks: { modules: JSON.parse(modules) } };
  const config = loadConfig({ env: {}, overrides });
  const server = await createCoordinatorServer({ config });
  await server.start();
  await note('started');
  await server.reload(config);
  await note('reloaded');
  await server.stop();
  await note('stopped');
  console.log(JSON.stringify(changed));
`;

type Changed = Record<(typeof STEPS)[number], string[]>;

async function embed(t: TestContext, modules: readonly string[]): Promise<Changed> {
  const files = { ...APP, ...HOOKS, 'look.mjs': LOOK, 'embedder.mjs': EMBEDDER };
  const cwd = createDir(t, files);
  const args = ['embedder.mjs', INDEX, JSON.stringify(modules)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd });
  return JSON.parse(stdout);
}

test('neither importing, starting, reloading nor stopping changes anything of the process', async (t) => {
  const changed = await embed(t, ['sync-coordinator/hooks/token-whitelist']);
  for (const step of STEPS) assert.deepEqual(changed[step], [], step);
});

test('nor do hook modules from files, but for how Node.js is asked for these', async (t) => {
  const changed = await embed(
    t,
    Object.keys(HOOKS).map((name) => `./${name}`),
  );
  // While they may import more, and require it. Then tsx leaves one function, which passes on what it is given.
  const isLoader = (change: string, isRunning: boolean) =>
    /^(?:Module|node:module) _resolveFilename:/.test(change) ||
    (isRunning && /^Module\._extensions /.test(change));
  for (const step of STEPS) {
    const isRunning = step === 'started' || step === 'reloaded';
    const rest = changed[step].filter((change) => !isLoader(change, isRunning));
    assert.deepEqual(rest, [], step);
  }
});
