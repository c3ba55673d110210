/**
 * Builds what is published: `node build.mjs`. The files of the server that both sides share are
 * compiled along, so the package needs no other.
 */

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const compiler = join(
  dirname(createRequire(import.meta.url).resolve('tsc/package.json')),
  'bin/tsc',
);
// What an earlier build left must not be published.
rmSync(join(here, 'dist'), { recursive: true, force: true });
const { status } = spawnSync(
  process.execPath,
  [compiler, '-p', join(here, 'tsconfig.build.json')],
  {
    stdio: 'inherit',
  },
);
process.exitCode = status ?? 1;
