/**
 * A configuration or hook module takes a value from a file in another folder, whose files change by links, by
 * every name that leads there without being its path: when it is loaded anew it is the one on the disk.
 */

import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { resolveConfig } from '../../src/config/resolve-config.ts';
import {
  forgetImportedModules,
  importModule,
  keepLoaders,
} from '../../src/modules/import-module.ts';
import { createDir } from '../config/temp-dir.ts';

type Files = Record<string, string>;

interface Layout {
  main: string;
  /** Makes `taken` the value, or what has it as `value`. */
  take: string;
  /** In the folder of links. */
  linked(value: string): Files;
  /** Beside the main file. */
  beside?: Files;
}

const json = (name: string) => (value: string) => ({ [name]: JSON.stringify({ value }) });
const commonJs = (name: string) => (value: string) => ({ [name]: `exports.value = '${value}';` });
const esm = (name: string) => (value: string) => ({ [name]: `export const value = '${value}';` });
const manifest = (text: object) => ({ 'package.json': JSON.stringify(text) });
const requiring = (request: string, from = 'import.meta.url') =>
  `import { createRequire } from 'node:module'; const taken = createRequire(${from})('${request}');`;
const importing = (specifier: string) => `import * as taken from '${specifier}';`;

const LAYOUTS: Record<string, Layout> = {
  'require without an extension, JSON': {
    ...{ main: 'main.cjs', take: `const taken = require('./m/beside');` },
    linked: json('beside.json'),
  },
  'require without an extension, JavaScript': {
    ...{ main: 'main.cjs', take: `const taken = require('./m/beside');` },
    linked: commonJs('beside.js'),
  },
  'require without an extension beside a directory of that name': {
    ...{ main: 'main.cjs', take: `const taken = require('./m/beside');` },
    linked: (value) => ({ ...commonJs('beside.js')(value), ...commonJs('beside/index.js')('no') }),
  },
  'require of a directory': {
    ...{ main: 'main.cjs', take: `const taken = require('./m/lib');` },
    linked: commonJs('lib/index.js'),
  },
  'require of a directory, with a slash': {
    ...{ main: 'main.cjs', take: `const taken = require('./m/lib/');` },
    linked: commonJs('lib/index.js'),
  },
  'require of a directory with a main file': {
    ...{ main: 'main.cjs', take: `const taken = require('./m/lib');` },
    linked: (value) => ({
      ...commonJs('lib/a.js')(value),
      'lib/package.json': '{ "main": "a" }',
    }),
  },
  'require of a directory of links': {
    ...{ main: 'main.cjs', take: `const taken = require('./m');` },
    linked: commonJs('index.js'),
  },
  'createRequire without an extension': {
    ...{ main: 'main.mjs', take: requiring('./m/beside') },
    linked: json('beside.json'),
  },
  'createRequire from a file that is none': {
    ...{ main: 'main.mjs', take: requiring('./m/beside.json', `import.meta.dirname + '/none'`) },
    linked: json('beside.json'),
  },
  'createRequire from package.json': {
    main: 'main.mjs',
    take: requiring('./m/beside', `import.meta.dirname + '/package.json'`),
    linked: json('beside.json'),
    beside: manifest({}),
  },
  'TypeScript without an extension': {
    ...{ main: 'main.ts', take: importing('./m/beside') },
    linked: esm('beside.ts'),
  },
  'TypeScript by the name of its JavaScript': {
    ...{ main: 'main.ts', take: importing('./m/beside.js') },
    linked: esm('beside.ts'),
  },
  'TypeScript of type module without an extension': {
    ...{ main: 'main.ts', take: importing('./m/beside') },
    linked: esm('beside.ts'),
    beside: manifest({ type: 'module' }),
  },
  'import by a # name': {
    ...{ main: 'main.mjs', take: importing('#beside') },
    linked: esm('beside.mjs'),
    beside: manifest({ imports: { '#beside': './m/beside.mjs' } }),
  },
  'import by a # pattern': {
    ...{ main: 'main.mjs', take: importing('#m/beside') },
    linked: esm('beside.mjs'),
    beside: manifest({ imports: { '#m/*': { default: ['./m/*.mjs'] } } }),
  },
  'TypeScript by a # name': {
    ...{ main: 'main.ts', take: importing('#beside') },
    linked: esm('beside.ts'),
    beside: manifest({ imports: { '#beside': './m/beside.ts' } }),
  },
  'require by a # name': {
    ...{ main: 'main.cjs', take: `const taken = require('#beside');` },
    linked: json('beside.json'),
    beside: manifest({ imports: { '#beside': './m/beside.json' } }),
  },
  'createRequire by a # name': {
    ...{ main: 'main.mjs', take: requiring('#beside') },
    linked: json('beside.json'),
    beside: manifest({ imports: { '#beside': './m/beside.json' } }),
  },
  'import by its own name': {
    ...{ main: 'main.mjs', take: importing('own/beside') },
    linked: esm('beside.mjs'),
    beside: manifest({ name: 'own', exports: { './*': './m/*.mjs' } }),
  },
  'a package whose file is a link': {
    ...{ main: 'main.mjs', take: importing('linked') },
    linked: commonJs('beside.js'),
    beside: {
      'node_modules/linked/package.json': '{ "main": "at" }',
      'node_modules/linked/at.js': '-> ../../m/beside.js',
    },
  },
  'a file of a package that is a link': {
    ...{ main: 'main.mjs', take: importing('linked/at.js') },
    linked: commonJs('beside.js'),
    beside: {
      'node_modules/linked/package.json': '{ "exports": { "./*": "./*" } }',
      'node_modules/linked/at.js': '-> ../../m/beside.js',
    },
  },
};

function write(directory: string, files: Files): void {
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    if (text.startsWith('-> ')) symlinkSync(text.slice(3), path);
    else writeFileSync(path, text);
  }
}

/** As Kubernetes does it; who keeps releases does without the end. */
function changeLinks(directory: string, files: Files, value: string, isKept: boolean): void {
  write(join(directory, `..${value}`), files);
  for (const name of new Set(Object.keys(files).map((path) => path.split('/', 1).join()))) {
    if (!existsSync(join(directory, name))) {
      symlinkSync(join('..data', name), join(directory, name));
    }
  }
  symlinkSync(`..${value}`, join(directory, '..new'));
  renameSync(join(directory, '..new'), join(directory, '..data'));
  const before = String.fromCharCode(value.charCodeAt(0) - 1);
  if (!isKept) rmSync(join(directory, `..${before}`), { recursive: true, force: true });
}

const LOADS = {
  'a configuration': async (directory: string, main: string) =>
    resolveConfig({ cwd: directory, env: {}, configPath: main }).config.basePath,
  'a hook module': async (directory: string, main: string) => {
    forgetImportedModules();
    const { module } = await importModule(`./${main}`, directory);
    return (module.default as { basePath: string }).basePath;
  },
};

for (const [what, load] of Object.entries(LOADS)) {
  for (const isKept of [true, false]) {
    const before = isKept ? 'kept' : 'gone';
    test(`${what} is what is on the disk, however it names what links lead to, with what was there ${before}`, async (t) => {
      t.after(keepLoaders());
      const wrong: Record<string, string> = {};
      for (const [name, { main, take, linked, beside = {} }] of Object.entries(LAYOUTS)) {
        const directory = createDir(t);
        const given = main.endsWith('.cjs') ? 'module.exports =' : 'export default';
        write(directory, {
          ...beside,
          [main]: `${take} ${given} { basePath: '/' + taken.value };`,
        });
        const values: string[] = [];
        for (const value of ['a', 'b', 'c']) {
          changeLinks(join(directory, 'm'), linked(value), value, isKept);
          values.push(
            await load(directory, main).catch((error) => (error as Error).message.slice(0, 300)),
          );
        }
        if (values.join(' ') !== '/a /b /c') wrong[name] = values.join(' ');
      }
      assert.deepEqual(wrong, {});
    });
  }
}

for (const how of ['import', 'require'] as const) {
  for (const [what, change, said] of [
    [
      'a link that leads elsewhere',
      (modules: string) => {
        unlinkSync(join(modules, 'used'));
        symlinkSync('../two', join(modules, 'used'));
      },
      /node_modules\/used leads elsewhere than at the start, .* it takes a start$/,
    ],
    [
      'another main file',
      (modules: string) => writeFileSync(join(modules, 'used/package.json'), '{ "main": "b.js" }'),
      /package\.json is not as it was at the start, .* it takes a start$/,
    ],
    [
      'other exports',
      (modules: string) =>
        writeFileSync(join(modules, 'used/package.json'), '{ "exports": "./b.js" }'),
      /package\.json is not as it was at the start, .* it takes a start$/,
    ],
  ] as const) {
    test(`a reload is refused when a package that a module ${how}s has ${what}`, async (t) => {
      t.after(keepLoaders());
      const files = { 'package.json': '{}', 'a.js': 'exports.value = 1;', 'b.js': '' };
      const directory = createDir(t);
      write(directory, {
        'main.mjs': `import used from 'used'; export default used;`,
        'main.cjs': `exports.value = require('used');`,
      });
      write(join(directory, 'one'), { ...files, 'package.json': '{ "main": "a.js" }' });
      write(join(directory, 'two'), { ...files, 'package.json': '{ "main": "a.js" }' });
      mkdirSync(join(directory, 'node_modules'));
      symlinkSync('../one', join(directory, 'node_modules/used'));
      const main = how === 'import' ? './main.mjs' : './main.cjs';
      await importModule(main, directory);
      forgetImportedModules();
      await importModule(main, directory);
      change(join(directory, 'node_modules'));
      assert.throws(forgetImportedModules, said);
      // Who has no longer what has changed may go on.
      rmSync(join(directory, 'node_modules'), { recursive: true });
      rmSync(join(directory, 'one'), { recursive: true });
      forgetImportedModules();
    });
  }
}
