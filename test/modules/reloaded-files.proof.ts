/**
 * A configuration and a hook module take a value from a file beside them, of every kind and in every
 * way: when they are loaded anew it is the one on the disk, also behind the link by which
 * Kubernetes changes all files of a volume at once.
 */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { resolveConfig } from '../../src/config/resolve-config.ts';
import {
  forgetImportedModules,
  importModule,
  keepLoaders,
} from '../../src/modules/import-module.ts';
import { createDir } from '../config/temp-dir.ts';

const TYPES = { module: { type: 'module' }, commonjs: { type: 'commonjs' }, none: {} } as const;
type PackageType = keyof typeof TYPES;
const CODE = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'];

interface Layout {
  type: PackageType;
  /** The name of the file that is loaded. */
  main: string;
  /** Of the one that it takes its value from; none where that is its own. */
  beside: string | undefined;
  how: 'import' | 'require' | 'createRequire';
}

function isModule(name: string, type: PackageType): boolean {
  const extension = extname(name);
  if (extension === '.js') return type === 'module';
  return ['.ts', '.mts', '.mjs'].includes(extension);
}

/** Whether `require` is there in it: TypeScript becomes CommonJS unless it is said to be modules. */
function hasRequire(name: string, type: PackageType): boolean {
  return extname(name) === '.ts' && type !== 'module';
}

function layoutsOf(type: PackageType): Layout[] {
  const mains = CODE.map((extension) => `main${extension}`);
  const besides = [...CODE, '.json'].map((extension) => `beside${extension}`);
  return mains.flatMap((main) => {
    const own: Layout = { type, main, beside: undefined, how: 'import' };
    if (!isModule(main, type)) {
      return [own, ...besides.map((beside): Layout => ({ type, main, beside, how: 'require' }))];
    }
    const how = hasRequire(main, type) ? 'require' : 'createRequire';
    const required = ['beside.cjs', 'beside.json', 'beside.js'];
    return [
      own,
      ...besides.map((beside): Layout => ({ type, main, beside, how: 'import' })),
      ...required.map((beside): Layout => ({ type, main, beside, how })),
    ];
  });
}

function besideText(name: string, type: PackageType, value: string): string {
  if (name.endsWith('.json')) return JSON.stringify({ value });
  if (!isModule(name, type)) return `exports.value = '${value}';`;
  return `export const value${name.endsWith('ts') ? ': string' : ''} = '${value}';`;
}

function importText({ beside, how }: Layout): string {
  if (how === 'require') return `const { value } = require('./${beside}');`;
  if (how === 'createRequire') {
    return `import { createRequire } from 'node:module';
      const { value } = createRequire(import.meta.url)('./${beside}');`;
  }
  return beside?.endsWith('.json')
    ? `import json from './${beside}' with { type: 'json' }; const { value } = json;`
    : `import { value } from './${beside}';`;
}

function filesOf(layout: Layout, value: string): Record<string, string> {
  const { type, main, beside } = layout;
  const taken = beside === undefined ? `const value = '${value}';` : importText(layout);
  const given = isModule(main, type) ? 'export default' : 'module.exports =';
  return {
    'package.json': JSON.stringify(TYPES[type]),
    [main]: `${taken} ${given} { basePath: '/' + value };`,
    ...(beside === undefined ? {} : { [beside]: besideText(beside, type, value) }),
  };
}

const PLACES = {
  'in a folder': (directory: string, files: Record<string, string>) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  },
  'in a volume of Kubernetes': (directory: string, files: Record<string, string>) => {
    const [before, now] = ['..first', '..second'].sort((name) =>
      existsSync(join(directory, name)) ? -1 : 1,
    );
    mkdirSync(join(directory, String(now)));
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(directory, String(now), name), text);
      if (!existsSync(join(directory, name)))
        symlinkSync(join('..data', name), join(directory, name));
    }
    symlinkSync(String(now), join(directory, '..new'));
    renameSync(join(directory, '..new'), join(directory, '..data'));
    rmSync(join(directory, String(before)), { recursive: true, force: true });
  },
};

const LOADS = {
  'a configuration': async (directory: string, main: string) =>
    resolveConfig({ cwd: directory, env: {}, configPath: main }).config.basePath,
  'a hook module': async (directory: string, main: string) => {
    const { module } = await importModule(`./${main}`, directory);
    forgetImportedModules();
    return (module.default as { basePath: string }).basePath;
  },
};

async function valuesOf(
  t: TestContext,
  layout: Layout,
  load: (typeof LOADS)[keyof typeof LOADS],
  place: (typeof PLACES)[keyof typeof PLACES],
): Promise<string> {
  const directory = createDir(t);
  const values: string[] = [];
  for (const value of ['a', 'b', 'c']) {
    place(directory, filesOf(layout, value));
    values.push(
      await load(directory, layout.main).catch((error) => (error as Error).message.slice(0, 200)),
    );
  }
  return values.join(' ');
}

for (const [what, load] of Object.entries(LOADS)) {
  for (const [where, place] of Object.entries(PLACES)) {
    for (const type of Object.keys(TYPES) as PackageType[]) {
      test(`${what} ${where}, with a package.json of type ${type}, is what is on the disk`, async (t) => {
        t.after(keepLoaders());
        const wrong: Record<string, string> = {};
        for (const layout of layoutsOf(type)) {
          const { main, beside = 'nothing', how } = layout;
          const values = await valuesOf(t, layout, load, place);
          if (values !== '/a /b /c') wrong[`${main} ${how}s ${beside}`] = values;
        }
        assert.deepEqual(wrong, {});
      });
    }
  }
}
