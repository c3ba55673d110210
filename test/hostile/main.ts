/**
 * Sets slow and hostile peers on real servers, one kind after the other, and says what each cost:
 *
 *     npm run test:hostile                          all of them
 *     npm run test:hostile -- --only ping           those whose name holds it
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CONSTANT_BYTES, type Measured, measure } from './measure.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';

const MIB = 1024 * 1024;
const RATIO_MAX = 1.5;
/** A percentile of a few hundred transactions on a machine that does other things too: it gets another try. */
const TRIES = 3;

const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } });

async function once(scenario: Scenario): Promise<Measured> {
  const cleanups: (() => unknown)[] = [];
  const owner = { after: (fn: () => unknown) => cleanups.push(fn) };
  const dataDir = mkdtempSync(join(tmpdir(), 'sync-hostile-'));
  try {
    return await measure(scenario, { owner, dataDir });
  } finally {
    for (const cleanup of cleanups) await cleanup();
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** @returns what was not as promised */
function faultsOf({ capBytes, heldUpMsMax }: Scenario, measured: Measured): string[] {
  const ratio = measured.p99BesideMs / measured.p99AloneMs;
  // Whoever is held up for less may be so in each transaction: what counts is how long.
  const isLate = heldUpMsMax === undefined ? ratio > RATIO_MAX : measured.heldUpMs > heldUpMsMax;
  const how =
    heldUpMsMax === undefined
      ? `the others' p99 was ${ratio.toFixed(2)} × its own`
      : `the loop was held up for ${measured.heldUpMs} ms`;
  const hasGrown = measured.grownBytes > capBytes + CONSTANT_BYTES;
  const grown = `grew by ${Math.round(measured.grownBytes / MIB)} MiB`;
  return [...(isLate ? [how] : []), ...(hasGrown ? [grown] : [])];
}

let failed = 0;
let passed = 0;
for (const scenario of SCENARIOS.filter(({ name }) => name.includes(values.only))) {
  process.stdout.write(`${scenario.name}\n`);
  let faults: string[] = [];
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    try {
      const measured = await once(scenario);
      const { p99AloneMs, p99BesideMs, grownBytes, heldUpMs, outcome } = measured;
      const grown = (grownBytes / MIB).toFixed(1);
      const allowed = ((scenario.capBytes + CONSTANT_BYTES) / MIB).toFixed(0);
      process.stdout.write(
        `  ${outcome}; grew by ${grown} of ${allowed} MiB; ` +
          `p99 of the others ${p99BesideMs.toFixed(1)} ms, alone ${p99AloneMs.toFixed(1)} ms ` +
          `(${(p99BesideMs / p99AloneMs).toFixed(2)} ×); loop held up for ${heldUpMs} ms\n`,
      );
      faults = faultsOf(scenario, measured);
    } catch (error) {
      faults = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
    }
    if (faults.length === 0) break;
    process.stdout.write(`  not as promised: ${faults.join('; ')}\n`);
  }
  if (faults.length > 0) failed++;
  else passed++;
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;
