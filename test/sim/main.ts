/**
 * Runs simulations, each from a seed of its own:
 *
 *     npm run sim -- --seed 1 --runs 100
 *
 * `--seed 2,6,9` takes several, each with the `--runs` that follow it.
 * `--nodes 3` shares one store among three coordinators, as in PostgreSQL.
 * `--ddl one` has one device make, drop and rename tables, `all` has each of them do so, `none` nobody;
 * without it that hangs on the seed. `many` is `all`, only with `--clients sdk`, and holds each against a new device
 * in the end, which would be more than devices of before promise.
 * `--hooks move` has hooks rewrite changes and move them elsewhere, `refuse` only refuse some; without it
 * that hangs on the seed.
 * `--held some` keeps little of what devices hold that was refused, `none` next to nothing, `all` all of it;
 * without it that hangs on the seed.
 * `--authors known` has the coordinator reject what others have dated, and some devices forge that;
 * without it all is accepted.
 * `--clients sdk` takes the published client for all devices, `mixed` for some, `wire` (so without it) for
 * none: then they are models of what is older.
 * `--trace TEXT` prints what was said and stored that holds the text, `--verbose` what each run did.
 * A seed that fails is printed with what it found; `--seed N` alone runs it again, the same way.
 */

import { runSimulations } from './run.ts';

try {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  const failed = await runSimulations(process.argv.slice(2), print);
  process.exitCode = failed > 0 ? 1 : 0;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 2;
}
