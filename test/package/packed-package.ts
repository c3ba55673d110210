/** The package as it would be published, and an empty project that has it installed. */

import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './command.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What `npm pack` takes; `scripts/run-tests.mjs` has built it. */
const PACKED = ['dist', 'package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'docs', 'examples'];

export interface PackedPackage {
  /** Absolute. */
  tarball: string;
  /** The paths within it. */
  files: string[];
}

interface Lockfile {
  /** `devOptional`: here for development, elsewhere perhaps for a package that can do without. */
  packages: Record<string, { dev?: boolean; devOptional?: boolean; link?: boolean }>;
}

/** Packs a copy in `directory`, so that the checkout stays as it is. */
export async function packPackage(directory: string): Promise<PackedPackage> {
  const source = join(directory, 'package');
  for (const name of PACKED) {
    if (existsSync(join(ROOT, name))) {
      cpSync(join(ROOT, name), join(source, name), { recursive: true });
    }
  }
  const json = await runCommand('npm pack --ignore-scripts --json', source);
  const [packed]: { filename: string; files: { path: string }[] }[] = JSON.parse(json);
  if (packed === undefined) throw new Error(`npm pack gave nothing: ${json}`);
  return {
    tarball: join(source, packed.filename),
    files: packed.files.map(({ path }) => path),
  };
}

/**
 * An empty project with the package installed: as `npm install <tarball>` would, but from
 * what is in the checkout's `node_modules`, so that the tests need no network. What is only
 * there for development is left out.
 */
export async function installPackage(tarball: string, project: string): Promise<void> {
  const lockfile: Lockfile = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  for (const [path, { dev, devOptional, link }] of Object.entries(lockfile.packages)) {
    if (!path.startsWith('node_modules/') || dev || devOptional || link) continue;
    if (!existsSync(join(ROOT, path))) continue;
    cpSync(join(ROOT, path), join(project, path), {
      recursive: true,
      // A package within a package has an entry of its own.
      filter: (source) => source === join(ROOT, path) || !source.endsWith('node_modules'),
    });
  }
  const target = join(project, 'node_modules/sync-coordinator');
  mkdirSync(target, { recursive: true });
  await runCommand(`tar -xzf "${tarball}" --strip-components=1`, target);
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ private: true, type: 'module', dependencies: { 'sync-coordinator': '*' } }),
  );
  // Links the commands.
  await runCommand('npm rebuild --ignore-scripts', project);
}
