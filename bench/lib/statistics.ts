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

/**
 * The latencies that writers would have seen who come at a steady pace, the usual latency apart,
 * of a writer who waits for each answer: a standstill is one latency of such a writer, but would
 * have befallen everyone who came meanwhile, each for what was left of it.
 */
export function atSteadyPace(latencies: readonly number[]): number[] {
  const usual = median(latencies);
  return latencies.flatMap((latency) => {
    const writers = Math.max(1, Math.floor(latency / usual));
    return Array.from({ length: writers }, (_, i) => latency - i * usual);
  });
}

/** The median of what two series, measured in turns, are to each other. */
export function medianRatio(values: readonly number[], limits: readonly number[]): number {
  return median(values.map((value, i) => value / (limits[i] ?? Number.NaN)));
}
