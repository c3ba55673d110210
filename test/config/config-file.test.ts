import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig, resolveConfig } from '../../src/config/resolve-config.ts';
import { createDir } from './temp-dir.ts';

const esModule = `export default { port: 4321 };\n`;
const typescript = `const port: number = 4321;\nexport default { port } satisfies { port: number };\n`;
const usesPackage = `import { defineConfig } from 'sync-coordinator';\nexport default defineConfig({ port: 4321 });\n`;

const CONTENT_BY_NAME: Readonly<Record<string, string>> = {
  'sync-coordinator.config.ts': typescript,
  'sync-coordinator.config.mts': typescript,
  'sync-coordinator.config.js': esModule,
  'sync-coordinator.config.mjs': esModule,
  'sync-coordinator.config.cjs': 'module.exports = { port: 4321 };\n',
  'sync-coordinator.config.json': '{ "port": 4321 }',
  'sync-coordinator.config.yaml': 'port: 4321\n',
  'sync-coordinator.config.yml': '# as YAML\nport: 4321\n',
  'sync-coordinator.json': '{ "port": 4321 }',
  'sync-coordinator.yaml': 'port: 4321\n',
  'sync-coordinator.yml': 'port: 4321\n',
};

for (const type of ['module', 'commonjs']) {
  for (const [name, content] of Object.entries(CONTENT_BY_NAME)) {
    test(`${name} is read beside a package.json of type ${type}, and nothing is written`, (t) => {
      const files = { 'package.json': JSON.stringify({ type }), [name]: content };
      const cwd = createDir(t, files);
      const { config, filePath } = resolveConfig({ cwd, env: {} });
      assert.equal(config.port, 4321);
      assert.equal(filePath, join(cwd, name));
      assert.deepEqual(readdirSync(cwd).sort(), Object.keys(files).sort());
    });
  }

  for (const name of ['a.ts', 'a.mts', 'a.js', 'a.mjs']) {
    test(`${name} of type ${type} imports defineConfig, though nothing is installed there`, (t) => {
      const cwd = createDir(t, { 'package.json': JSON.stringify({ type }), [name]: usesPackage });
      assert.equal(loadConfig({ cwd, env: {}, configPath: name }).port, 4321);
    });
  }
}

test('package.json may hold the configuration', (t) => {
  const cwd = createDir(t, { 'package.json': '{ "sync-coordinator": { "port": 4321 } }' });
  assert.equal(loadConfig({ cwd, env: {} }).port, 4321);
});

test('a module file wins over JSON, and that over package.json', (t) => {
  const cwd = createDir(t, {
    'package.json': '{ "sync-coordinator": { "port": 1 } }',
    'sync-coordinator.json': '{ "port": 2 }',
    'sync-coordinator.config.mjs': esModule,
  });
  assert.equal(loadConfig({ cwd, env: {} }).port, 4321);
});

test('a configuration above the working directory is not looked at', (t) => {
  const cwd = createDir(t, { 'sync-coordinator.json': '{ "port": 1 }', 'below/.keep': '' });
  assert.equal(loadConfig({ cwd: join(cwd, 'below'), env: {} }).port, 3000);
});

test('a configuration may import a file of its own', (t) => {
  const cwd = createDir(t, {
    'sync-coordinator.config.ts': `import { port } from './port.ts';\nexport default { port };\n`,
    'port.ts': 'export const port: number = 4321;\n',
  });
  assert.equal(loadConfig({ cwd, env: {} }).port, 4321);
});

const REFUSALS: Readonly<Record<string, { name: string; content?: string; reason: RegExp }>> = {
  'a missing one': { name: 'a.ts', reason: /a\.ts: there is no such file$/ },
  'an empty one': { name: 'a.json', content: '\n', reason: /a\.json: is empty$/ },
  'broken JSON': { name: 'a.json', content: '{ "port": ', reason: /a\.json: .*JSON/ },
  'broken YAML': {
    name: 'a.yaml',
    content: 'auth:\n  tokens: [secret-token\n  mode: x: y',
    reason: /a\.yaml: is not valid YAML: line \d, column \d+$/,
  },
  'YAML of nothing': { name: 'a.yml', content: '~', reason: /a\.yml: holds null/ },
  'broken TypeScript': {
    name: 'a.ts',
    content: 'const x: = 3;',
    reason: /a\.ts:1:9: ERROR: Unexpected "="/,
  },
  'one that throws': { name: 'a.ts', content: 'throw new Error("no");', reason: /a\.ts: no$/ },
  'one that misses a file': {
    name: 'a.mts',
    content: `import { readFileSync } from 'node:fs';\nreadFileSync('./nowhere');`,
    reason: /a\.mts: ENOENT.*nowhere/,
  },
  'one without a default export': {
    name: 'a.ts',
    content: 'export default undefined;',
    reason: /a\.ts: has no default export$/,
  },
  'one that forgets to export': {
    name: 'a.ts',
    content: `import { defineConfig } from 'sync-coordinator';\ndefineConfig({ auth: { mode: 'custom' } });`,
    reason: /a\.ts: exports nothing, must have a default export/,
  },
  'one that exports nothing': {
    name: 'a.mjs',
    content: 'export {};',
    reason: /a\.mjs: exports nothing/,
  },
  'one of comments': { name: 'a.mts', content: '// later', reason: /a\.mts: exports nothing/ },
  'a CommonJS module that exports nothing': {
    name: 'a.cjs',
    content: 'const config = { port: 1 };',
    reason: /a\.cjs: exports nothing/,
  },
  'one with an option beside its default export': {
    name: 'a.ts',
    content: `export const auth = { mode: 'custom' };\nexport default { port: 1 };`,
    reason: /a\.ts: exports "auth" beside its default export, which alone is read/,
  },
  'one that exports something else': {
    name: 'a.ts',
    content: 'export default () => ({});',
    reason: /a\.ts: the configuration was a function, may be an object of options$/,
  },
};

for (const [what, { name, content, reason }] of Object.entries(REFUSALS)) {
  test(`${what} is refused with its path and the reason`, (t) => {
    const cwd = createDir(t, content === undefined ? {} : { [name]: content });
    assert.throws(
      () => loadConfig({ cwd, env: {}, configPath: name }),
      (error: Error) => error.name === 'ConfigError' && reason.test(error.message),
    );
  });
}

const NOT_PLAIN: Readonly<Record<string, { code: string; reason: RegExp }>> = {
  'a promise': {
    code: 'export default Promise.resolve({ port: 1 });',
    reason: /the configuration was a promise, may be an object of options; .* awaits nothing$/,
  },
  'what an async function gives': {
    code: 'const read = async () => ({ mode: "custom" }); export default { auth: read() };',
    reason: /: auth was a promise, may be an object of options; .* awaits nothing$/,
  },
  'a promise of hooks': {
    code: 'export default { hooks: Promise.resolve([]) };',
    reason: /: hooks was a promise, may be a list of modules or an object of options;/,
  },
  'a Map': {
    code: 'export default new Map([["port", 1]]);',
    reason: /the configuration was a Map, may be an object of options$/,
  },
  'a Map below a key': {
    code: 'export default { auth: new Map([["mode", "custom"]]) };',
    reason: /: auth was a Map, may be an object of options$/,
  },
  'an instance': {
    code: 'class Settings { get mode() { return "custom"; } } export default { auth: new Settings() };',
    reason: /: auth was a Settings, may be an object of options$/,
  },
  'a text object': {
    code: 'export default { storage: new String("memory:") };',
    reason: /: storage was a String, may be a store URL or an object of options$/,
  },
  'a set of tokens': {
    code: 'export default { auth: { mode: "token-whitelist", tokens: new Set(["a"]) } };',
    reason: /: auth\.tokens was/,
  },
};

for (const [what, { code, reason }] of Object.entries(NOT_PLAIN)) {
  test(`${what} is refused, as it would count as no options`, (t) => {
    const cwd = createDir(t, { 'a.mjs': code });
    assert.throws(
      () => loadConfig({ cwd, env: {}, configPath: 'a.mjs' }),
      ({ name, message }: Error) => name === 'ConfigError' && reason.test(message),
    );
  });
}

test('a directory in place of a configuration is refused, not looked past', (t) => {
  const cwd = createDir(t, { 'sync-coordinator.config.yaml/.keep': '' });
  assert.throws(
    () => loadConfig({ cwd, env: {} }),
    /sync-coordinator\.config\.yaml: is a directory, must be a file$/,
  );
});

test('options that are exported by their names are read, and so is what a default export shares', (t) => {
  const cwd = createDir(t, {
    'named.mjs': 'export const port = 4321;',
    'both.mjs': 'export const port = 4321; export const other = 1; export default { port };',
    'empty.mjs': 'export default {};',
  });
  const portOf = (configPath: string) => loadConfig({ cwd, env: {}, configPath }).port;
  assert.deepEqual(['named.mjs', 'both.mjs', 'empty.mjs'].map(portOf), [4321, 4321, 3000]);
});

test('objects without a prototype, and of another realm, are as good as any', (t) => {
  const code = `import { runInNewContext } from 'node:vm';
    export default Object.assign(Object.create(null), runInNewContext('({ limits: { sessions: 7 } })'));`;
  const cwd = createDir(t, { 'a.mjs': code });
  assert.equal(loadConfig({ cwd, env: {}, configPath: 'a.mjs' }).limits.sessions, 7);
});

test('a file that was found and fails is not passed over for the next', (t) => {
  const cwd = createDir(t, {
    'sync-coordinator.config.mjs': `import { readFileSync } from 'node:fs';\nreadFileSync('./nowhere');`,
    'sync-coordinator.json': '{ "port": 1 }',
  });
  assert.throws(() => loadConfig({ cwd, env: {} }), /sync-coordinator\.config\.mjs: ENOENT/);
});
