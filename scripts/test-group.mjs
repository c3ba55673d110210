/**
 * Several files of tests in one process, which imports the coordinator once for all of them. Each is a
 * suite with the file's name, to which the hooks belong that the file has outside of its own suites.
 */

import { appendFileSync, readFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import { pathToFileURL } from 'node:url';

/** Where to write what each file costs, if anywhere. */
const COSTS_FILE = process.env.TEST_COSTS_FILE;
/** Of Linux, in each second. */
const TICKS = 100;

/**
 * @param files relative to the working directory
 * @param timeout of each, in milliseconds
 */
export function describeFiles(files, timeout) {
  for (const file of files) {
    describe(file, { timeout }, async () => {
      if (COSTS_FILE !== undefined) before(() => startMeter(file));
      await import(pathToFileURL(file).href);
      if (COSTS_FILE !== undefined) after(() => stopMeter(file));
    });
  }
}

const startedAt = new Map();

function startMeter(file) {
  startedAt.set(file, { wall: performance.now() / 1000, cpu: cpuSeconds() });
}

function stopMeter(file) {
  const { wall, cpu } = startedAt.get(file);
  const cost = { file, cpu: cpuSeconds() - cpu, wall: performance.now() / 1000 - wall };
  appendFileSync(COSTS_FILE, `${JSON.stringify(cost)}\n`);
}

/** Of this process, and of those that it has started and seen end. */
function cpuSeconds() {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS;
}
