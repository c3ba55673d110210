/**
 * Ratios of an earlier run, which are the same on a faster machine or a slower one, and what has
 * become worse since.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import type { Row } from './figure.ts';
import { formatNumber } from './report.ts';

const FILE = new URL('../baselines.json', import.meta.url);
/** Less is noise. */
const TOLERANCE = 1.25;

type Ratios = Record<string, number>;

function readBaselines(): Ratios {
  try {
    return JSON.parse(readFileSync(FILE, 'utf8'));
  } catch {
    return {};
  }
}

export function updateBaselines(rows: readonly Row[]): void {
  const ratios = readBaselines();
  for (const { figure, ratio } of rows) ratios[figure] = Number(ratio.toPrecision(3));
  const sorted = Object.entries(ratios).sort(([a], [b]) => a.localeCompare(b, 'en'));
  writeFileSync(FILE, `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`);
}

/** @returns a line for each ratio that is worse than its baseline by more than a quarter */
export function findWorse(rows: readonly Row[], baselines: Ratios = readBaselines()): string[] {
  return rows.flatMap(({ figure, ratio, target }) => {
    const baseline = baselines[figure];
    if (baseline === undefined) return [];
    const isLessBetter = 'better' in target ? target.better === 'less' : 'atMost' in target;
    const factor = isLessBetter ? ratio / baseline : baseline / ratio;
    return factor > TOLERANCE
      ? [`${figure}: ${formatNumber(ratio)}, and was ${formatNumber(baseline)}`]
      : [];
  });
}
