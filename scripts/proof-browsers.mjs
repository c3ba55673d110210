/**
 * The tests of the client in a browser, in those that aren't from npm: `npm run proof:browsers`. They have
 * to be installed; one that isn't is a failure that says how to get it.
 *
 *     npm run proof:browsers                       Firefox and WebKit
 *     npm run proof:browsers -- webkit             one of them
 *     npm run proof:browsers -- --test-name-pattern=leader
 */

import { fileURLToPath } from 'node:url';
import { runTests } from './run-tests.mjs';
import { findTests, LOOP } from './test-files.mjs';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const args = process.argv.slice(2);
const flags = args.filter((arg) => arg.startsWith('-'));
const named = args.filter((arg) => !arg.startsWith('-'));
const files = findTests(['packages/client/test/browser'], LOOP);

for (const name of named.length > 0 ? named : ['firefox', 'webkit']) {
  process.stdout.write(`\n== ${name}\n`);
  const env = { TEST_BROWSER: name };
  if ((await runTests(files, { flags, filesPerProcess: files.length, env })) !== 0) {
    process.exitCode = 1;
  }
}
