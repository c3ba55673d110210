/**
 * The command line: `sync-coordinator` starts the server, `sync-coordinator check`
 * shows what it would start with. Its flags are those of the schema.
 */

import { Command } from 'commander';
import { PACKAGE_NAME, PACKAGE_VERSION } from '../config/own-package.ts';
import { type ResolvedConfig, resolveConfig } from '../config/resolve-config.ts';
import { CONFIG_FLAG, configOptions, optionsToFlags } from './config-flags.ts';
import { failureToText } from './failure.ts';

type Action = (resolved: ResolvedConfig) => Promise<void>;

/**
 * Runs a command line. The process ends with 0, or with 1 and what is wrong on stderr.
 * @param argv as `process.argv`: the command line proper begins at the third
 */
export function runCli(argv: readonly string[]): void {
  const program = new Command(PACKAGE_NAME)
    .description('Starts the coordinator that clients sync through.')
    .version(PACKAGE_VERSION)
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError()
    .action(() => run(program, startServer));
  program.addOption(CONFIG_FLAG);
  for (const option of configOptions()) {
    program.addOption(option);
  }
  program
    .command('check')
    .description('prints the effective configuration and the hook chains, without starting')
    .action(() => run(program, checkConfig));
  program.parse(argv);
}

// Imported when they run: help and faults in the configuration need no server.
const startServer: Action = async (resolved) => (await import('./start.ts')).start(resolved);
const checkConfig: Action = async (resolved) => (await import('./check.ts')).check(resolved);

async function run(program: Command, action: Action): Promise<void> {
  try {
    const { configPath, flags } = optionsToFlags(program.opts());
    await action(resolveConfig({ configPath, flags }));
  } catch (error) {
    process.stderr.write(`${failureToText(error)}\n`);
    process.exit(1);
  }
}
