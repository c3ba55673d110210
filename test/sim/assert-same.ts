import assert from 'node:assert/strict';
import type { Replica } from '../support/replica.ts';

type Contents = ReturnType<Replica['contents']>;

/** Equal, or the cells that differ. */
export function assertSame(actual: Contents, expected: Contents, what: string): void {
  const differences: string[] = [];
  for (const key of new Set([...Object.keys(actual), ...Object.keys(expected)])) {
    const [is, should] = [actual[key] ?? {}, expected[key] ?? {}];
    for (const column of new Set([...Object.keys(is), ...Object.keys(should)])) {
      if (is[column] === should[column]) continue;
      differences.push(`${key} ${column}: ${is[column]}, not ${should[column]}`);
    }
  }
  const some = differences.slice(0, 6).join('; ');
  assert.ok(differences.length === 0, `${what}: ${differences.length} cells differ: ${some}`);
}
