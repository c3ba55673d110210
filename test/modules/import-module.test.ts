import assert from 'node:assert/strict';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { forgetImportedModules, importModule } from '../../src/modules/import-module.ts';
import { createDir } from '../config/temp-dir.ts';

const hooks = `const answer: boolean = true;\nexport default { onAuthorize: () => answer };\n`;

for (const type of ['module', 'commonjs']) {
  test(`TypeScript beside a package.json of type ${type} needs no build step`, async (t) => {
    const dir = createDir(t, { 'package.json': JSON.stringify({ type }), 'hooks/a.ts': hooks });
    const { module, url } = await importModule('./hooks/a.ts', dir);
    assert.deepEqual(Object.keys(module.default ?? {}), ['onAuthorize']);
    assert.equal(url, pathToFileURL(join(dir, 'hooks/a.ts')).href);
  });
}

test('an absolute path does not depend on where it is named', async (t) => {
  const dir = createDir(t, { 'a.mjs': 'export default 5;' });
  assert.equal((await importModule(join(dir, 'a.mjs'), '/')).module.default, 5);
});

test('CommonJS gives its exports', async (t) => {
  const dir = createDir(t, { 'a.cjs': 'exports.hooks = 5;' });
  assert.equal((await importModule('./a.cjs', dir)).module.hooks, 5);
});

test('a package is found from the directory, with its import conditions', async (t) => {
  const dir = createDir(t, {
    'node_modules/@acme/hooks/package.json':
      '{ "type": "module", "exports": { ".": { "import": "./index.js" }, "./sub": "./sub.js" } }',
    'node_modules/@acme/hooks/index.js': 'export default 1;',
    'node_modules/@acme/hooks/sub.js': 'export default 2;',
  });
  const { module, url } = await importModule('@acme/hooks', dir);
  assert.equal(module.default, 1);
  assert.match(url, /node_modules\/@acme\/hooks$/);
  assert.equal((await importModule('@acme/hooks/sub', dir)).module.default, 2);
});

test('a subpath of this package is this installation, from anywhere', async (t) => {
  const { module } = await importModule('sync-coordinator/hooks/token-whitelist', createDir(t));
  const own = await import('../../src/hooks/builtin/token-whitelist.ts');
  assert.equal(module.default, own.default);
});

test('a hook module throws the very errors that the coordinator knows', async (t) => {
  const dir = createDir(t, {
    'a.mts': `export { SyncError as default } from 'sync-coordinator';`,
  });
  const { SyncError } = await import('../../src/errors/sync-error.ts');
  assert.equal((await importModule('./a.mts', dir)).module.default, SyncError);
});

test('a module that is not there is told with its name and from where', async (t) => {
  const dir = createDir(t);
  for (const name of ['./a.ts', 'no-such-package', 'sync-coordinator/no-such-subpath']) {
    await assert.rejects(importModule(name, dir), {
      message: `module "${name}" was not found from ${dir}`,
    });
  }
});

test('a module that fails is told with its own reason', async (t) => {
  const dir = createDir(t, {
    'throws.ts': 'throw new Error("boom");',
    'lacks.ts': `import 'no-such-package';`,
    'broken.ts': 'const x: = 3;',
  });
  const cases = {
    'throws.ts': /boom/,
    'lacks.ts': /no-such-package/,
    'broken.ts': /Unexpected "="/,
  };
  for (const [name, reason] of Object.entries(cases)) {
    await assert.rejects(
      importModule(`./${name}`, dir),
      ({ message }: Error) => /failed while loading: /.test(message) && reason.test(message),
    );
  }
});

test('what was imported is read anew, also what it has required when it was called', async (t) => {
  const dir = createDir(t, {
    'a.cjs': `exports.own = require('./own.cjs'); exports.later = () => require('./later.cjs');`,
  });
  for (const version of [1, 2, 3]) {
    for (const name of ['own', 'later']) {
      writeFileSync(join(dir, `${name}.cjs`), `module.exports = ${version};`);
    }
    const { module } = await importModule('./a.cjs', dir);
    const { own, later } = module.default as { own: number; later(): number };
    assert.deepEqual([own, later()], [version, version]);
    forgetImportedModules();
  }
});

test('what the embedding app has required too stays the one that it has', async (t) => {
  const dir = createDir(t, {
    'app.cjs': `exports.shared = require('./shared.cjs'); exports.load = () => require('./more.cjs');`,
    'shared.cjs': `exports.inner = require('./inner.cjs');`,
    'inner.cjs': 'exports.connections = [];',
    'a.cjs': `exports.shared = require('./shared.cjs'); exports.own = require('./own.cjs');`,
    'own.cjs': 'exports.connections = [];',
  });
  const require = createRequire(join(dir, 'app.cjs'));
  const first = (await importModule('./a.cjs', dir)).module.default as Record<string, object>;
  // Only now: the copy is the one that the hook module brought.
  const app = require('./app.cjs');
  forgetImportedModules();
  const second = (await importModule('./a.cjs', dir)).module.default as Record<string, object>;
  assert.notEqual(second.own, first.own);
  assert.equal(second.shared, app.shared);
  assert.equal(require('./inner.cjs'), app.shared.inner);

  // While something is imported the app goes on requiring.
  forgetImportedModules();
  writeFileSync(join(dir, 'alone.cjs'), 'exports.connections = [];');
  writeFileSync(join(dir, 'more.cjs'), `exports.alone = require('./alone.cjs');`);
  writeFileSync(join(dir, 'b.mjs'), 'await new Promise(setImmediate); export default 1;');
  const importing = importModule('./b.mjs', dir);
  const more = app.load();
  await importing;
  forgetImportedModules();
  assert.equal(app.load(), more);
  assert.equal(require('./alone.cjs'), more.alone);
});

test('what Node.js reads once and has changed since is refused, not given as it was', async (t) => {
  const manifest = (main: string) => JSON.stringify({ type: 'module', exports: `./${main}` });
  const dir = createDir(t, {
    'package.json': '{ "type": "module", "version": "1.0.0" }',
    'a.js': 'export default 1;',
    ...{ 'one/package.json': manifest('a.js'), 'one/a.js': 'export default 1;' },
    ...{ 'two/package.json': manifest('a.js'), 'two/a.js': 'export default 2;' },
    ...{ 'node_modules/plain/package.json': manifest('a.js') },
    ...{
      'node_modules/plain/a.js': 'export default 1;',
      'node_modules/plain/b.js': 'export default 2;',
    },
  });
  symlinkSync('../one', join(dir, 'node_modules/linked'));
  const load = async () => {
    const { module } = await importModule('linked', dir);
    await importModule('plain', dir);
    await importModule('./a.js', dir);
    forgetImportedModules();
    return module.default;
  };
  assert.equal(await load(), 1);
  // Who publishes changes the version, and whoever installs, the dependencies: neither decides anything here.
  writeFileSync(join(dir, 'package.json'), '{ "type": "module", "version": "1.0.1" }');
  assert.equal(await load(), 1);

  symlinkSync('../two', join(dir, 'node_modules/new'));
  renameSync(join(dir, 'node_modules/new'), join(dir, 'node_modules/linked'));
  await assert.rejects(
    importModule('linked', dir),
    /elsewhere than at the start, .* it takes a start$/,
  );
  writeFileSync(join(dir, 'node_modules/plain/package.json'), manifest('b.js'));
  await assert.rejects(importModule('plain', dir), /package\.json is not as it was at the start/);
  writeFileSync(join(dir, 'package.json'), '{ "type": "commonjs" }');
  await assert.rejects(importModule('./a.js', dir), /package\.json is not as it was at the start/);
});
