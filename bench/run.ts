/** `npm run bench` runs all benchmarks, `npm run bench -- NAME …` some. They measure what is built. */

import { benchHooks } from './hooks.ts';

const BENCHMARKS: Record<string, () => Promise<void>> = { hooks: benchHooks };

const names = process.argv.slice(2);
for (const name of names.length > 0 ? names : Object.keys(BENCHMARKS)) {
  const bench = BENCHMARKS[name];
  if (bench === undefined) {
    process.stderr.write(`no benchmark ${name}; there are ${Object.keys(BENCHMARKS).join(', ')}\n`);
    process.exitCode = 1;
    break;
  }
  await bench();
}
