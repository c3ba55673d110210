/**
 * Projects as people have them: installed by npm or pnpm, or linked, with hook modules of every
 * type of file and package. Each module says, when it is set up, which copy of this package it has.
 */

import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OWN_NAME = 'sync-coordinator';

export const LAYOUTS = ['npm', 'pnpm', 'linked'] as const;
export type Layout = (typeof LAYOUTS)[number];

/** What `package.json` says of the type of the project's files. */
const PROJECT_TYPES = { esm: { type: 'module' }, cjs: { type: 'commonjs' }, none: {} } as const;
type ProjectType = keyof typeof PROJECT_TYPES;

const EXTENSIONS = ['ts', 'cts', 'mts', 'js', 'cjs', 'mjs'] as const;
type Extension = (typeof EXTENSIONS)[number];

/** What a module prints in its `setup`, as JSON. */
export interface Report {
  id: string;
  /** Of the file that it imports beside it. */
  version: string;
  /** Whether what it imports at its top is what all others import, also later and by a subpath. */
  isShared: boolean;
}

export interface Project {
  directory: string;
  /** The command, as it is installed there. */
  command: string;
  /** Every module, as a configuration names it. */
  modules: string[];
  /** The same modules in other folders, for a later configuration. */
  laterModules: string[];
  /** Rewrites what the modules import beside them. */
  setVersion(version: string): void;
}

function isCommonJs(extension: Extension, type: ProjectType): boolean {
  return extension === 'cjs' || (extension === 'js' && type !== 'esm');
}

function moduleText(id: string, extension: Extension, type: ProjectType): string {
  const isTyped = extension.endsWith('ts');
  const names = ['defineHooks, SyncError', 'whitelist', 'version'];
  const sources = [OWN_NAME, `${OWN_NAME}/hooks/token-whitelist`, `./version.${extension}`];
  const imports = isCommonJs(extension, type)
    ? `const { ${names[0]} } = require('${sources[0]}');
       const whitelist = require('${sources[1]}').default;
       const { version } = require('${sources[2]}');`
    : `import { ${names[0]} } from '${sources[0]}';
       import whitelist from '${sources[1]}';
       import { version } from '${sources[2]}';`;
  return `${imports}
    const id${isTyped ? ': string' : ''} = '${id}';
    globalThis.firstCopy ??= [defineHooks, SyncError, whitelist];
    const definition = defineHooks({
      name: id,
      async setup() {
        const later = await import('${OWN_NAME}');
        const copies = [[defineHooks, SyncError, whitelist], [later.defineHooks, later.SyncError, whitelist]];
        const isShared = copies.flat().every((own, i) => own === globalThis.firstCopy[i % 3]);
        console.log(JSON.stringify({ id, version, isShared }));
        return { onAuthorize: () => true };
      },
    });
    ${isCommonJs(extension, type) ? 'module.exports = definition;' : 'export default definition;'}`;
}

function versionText(extension: Extension, type: ProjectType, version: string): string {
  return isCommonJs(extension, type)
    ? `exports.version = '${version}';`
    : `export const version${extension.endsWith('ts') ? ': string' : ''} = '${version}';`;
}

/** Makes the project in an empty directory. */
export function createProject(directory: string, layout: Layout): Project {
  const modules: string[] = [];
  const laterModules: string[] = [];
  const versions: { path: string; extension: Extension; type: ProjectType }[] = [];

  function write(path: string, text: string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  function addModule(folder: string, id: string, extension: Extension, type: ProjectType): void {
    write(join(folder, `index.${extension}`), moduleText(id, extension, type));
    versions.push({ path: join(folder, `version.${extension}`), extension, type });
  }

  const command = installOwn(directory, layout);
  for (const [type, manifest] of Object.entries(PROJECT_TYPES) as [ProjectType, object][]) {
    write(join(directory, type, 'package.json'), JSON.stringify(manifest));
    for (const extension of EXTENSIONS) {
      for (const [folder, list] of [
        ['hooks', modules],
        ['later', laterModules],
      ] as const) {
        const id = `${type} ${folder} ${extension}`;
        addModule(join(directory, type, folder, extension), id, extension, type);
        list.push(`./${type}/${folder}/${extension}/index.${extension}`);
      }
      // TypeScript is for packages of the project's own: Node.js takes none in `node_modules`.
      if (layout !== 'linked' && extension.endsWith('ts')) continue;
      const name = `acme-${type}-${extension}`;
      const main = `./index.${extension}`;
      const folder = installPackage(directory, layout, name);
      write(
        join(folder, 'package.json'),
        JSON.stringify({ name, version: '1.0.0', ...manifest, main, exports: main }),
      );
      addModule(folder, name, extension, type);
      modules.push(name);
    }
  }
  const setVersion = (version: string) => {
    for (const { path, extension, type } of versions) {
      write(path, versionText(extension, type, version));
    }
  };
  return { directory, command, modules, laterModules, setVersion };
}

/** @returns the command's file, as it is named in the project */
function installOwn(directory: string, layout: Layout): string {
  const modules = join(directory, 'node_modules');
  const named = join(modules, OWN_NAME);
  if (layout === 'linked') {
    link(ROOT, named);
  } else {
    const home = layout === 'npm' ? modules : join(modules, `.pnpm/${OWN_NAME}@0.1.0/node_modules`);
    const own = join(home, OWN_NAME);
    cpSync(join(ROOT, 'dist'), join(own, 'dist'), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(own, 'package.json'));
    for (const name of dependencyNames()) link(join(ROOT, 'node_modules', name), join(home, name));
    if (layout === 'pnpm') link(own, named);
  }
  const { bin }: { bin: Record<string, string> } = JSON.parse(
    readFileSync(join(ROOT, 'package.json'), 'utf8'),
  );
  return join(named, bin[OWN_NAME] ?? '');
}

function dependencyNames(): string[] {
  return readdirSync(join(ROOT, 'node_modules')).filter((name) => !/^\.|^sync-/.test(name));
}

/** @returns the folder in which the package is to be written */
function installPackage(directory: string, layout: Layout, name: string): string {
  const modules = join(directory, 'node_modules');
  if (layout === 'npm') return join(modules, name);
  const isPnpm = layout === 'pnpm';
  const home = isPnpm ? join(modules, `.pnpm/${name}@1.0.0/node_modules`) : join(directory, 'lib');
  mkdirSync(join(home, name), { recursive: true });
  if (isPnpm) link(join(modules, OWN_NAME), join(home, OWN_NAME));
  link(join(home, name), join(modules, name));
  return join(home, name);
}

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(relative(dirname(path), target), path);
}
