/**
 * `npm run bench` measures all figures, `npm run bench -- a e h` some, by letter or name. They
 * measure what is built. See `bench/README.md`.
 */

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chooseFigures } from './figures/index.ts';
import { findWorse, updateBaselines } from './lib/baselines.ts';
import { isMet, type Row } from './lib/figure.ts';
import { summariseProfile } from './lib/profile-summary.ts';
import { detailsToText, rowsToTable } from './lib/report.ts';
import { RunContext } from './lib/run-context.ts';

const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    scale: { type: 'string', default: '1' },
    check: { type: 'boolean', default: false },
    update: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});

const say = (text: string) => process.stdout.write(`${text}\n`);

async function measure(context: RunContext): Promise<Row[]> {
  const rows: Row[] = [];
  for (const figure of chooseFigures(names)) {
    const startedAt = performance.now();
    try {
      rows.push(...(await figure.run(context)));
    } finally {
      await context.stopAll();
    }
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    process.stderr.write(`${figure.letters.join(', ')} (${figure.name}) took ${seconds} s\n`);
  }
  return rows;
}

const profileDirectory = options.profile ?? process.env.BENCH_CPU_PROF;
if (profileDirectory !== undefined) mkdirSync(profileDirectory, { recursive: true });
const scale = Number(options.scale);
if (!(scale > 0)) throw new Error(`--scale ${options.scale}: a number above 0, such as 0.1`);
if (options.update && scale !== 1) throw new Error('baselines are of the whole size: no --scale');
const context = new RunContext(scale, profileDirectory);
process.once('SIGINT', () => void context.end().finally(() => process.exit(130)));
try {
  const rows = await measure(context);
  say(`\n${rowsToTable(rows)}\n`);
  for (const row of rows) say(detailsToText(row));
  if (options.json !== undefined) {
    const machine = {
      node: process.version,
      cpus: cpus().length,
      cpu: cpus()[0]?.model,
      loadAverage: loadavg(),
    };
    const figures = rows.map((row) => ({ ...row, met: isMet(row) }));
    writeFileSync(
      options.json,
      `${JSON.stringify({ machine, scale: context.scale, figures }, null, 2)}\n`,
    );
  }
  if (options.update) updateBaselines(rows);
  if (options.check) {
    const worse = findWorse(rows);
    say(worse.length === 0 ? 'no ratio is worse than its baseline' : 'worse than their baselines:');
    for (const line of worse) say(`  ${line}`);
    if (worse.length > 0) process.exitCode = 1;
  }
} finally {
  await context.end();
}
if (profileDirectory !== undefined) {
  for (const file of readdirSync(profileDirectory).filter((name) => name.endsWith('.cpuprofile'))) {
    say(`\n${file}`);
    say(summariseProfile(join(profileDirectory, file)));
  }
}
