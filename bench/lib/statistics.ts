/** What a list of measurements comes down to. */

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** @param fraction 0 to 1 */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = Float64Array.from(values).sort();
  const index = Math.min(sorted.length - 1, Math.floor(sorted.length * fraction));
  return sorted[index] ?? Number.NaN;
}

/** The median of what two series, measured in turns, are to each other. */
export function medianRatio(values: readonly number[], limits: readonly number[]): number {
  return median(values.map((value, i) => value / (limits[i] ?? Number.NaN)));
}
