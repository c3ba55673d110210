/** The kit's coordinator with an embedded store, which is what most tests here are about. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type StartOptions,
  startCoordinator,
  type TestCoordinator,
} from '../../src/testing/coordinator.ts';

export type TestServer = TestCoordinator;

const directories: string[] = [];
process.once('exit', () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** A directory that goes with the process: hooks of a test run before the servers that use it end. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-'));
  directories.push(directory);
  return directory;
}

/** Stops by itself when the test ends. */
export function startServer(
  t: Pick<TestContext, 'after'>,
  { config, hooks }: StartOptions = {},
): Promise<TestServer> {
  return startCoordinator(t, { config: { storage: undefined, ...config }, hooks });
}
