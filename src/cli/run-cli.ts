/**
 * The command line: `sync-coordinator` starts the server, `sync-coordinator check`
 * shows what it would start with, `sync-coordinator copy`, `export` and `import` move databases,
 * `health` asks whether the server lives, `hash-token` hides a token in a list,
 * `sync-coordinator init` writes a first configuration. Its flags are those of the schema.
 */

import { Command, type CommanderError } from 'commander';
import { type ResolvedConfig, resolveConfig } from '../config/resolve-config.ts';
import { PACKAGE_NAME, PACKAGE_VERSION } from '../modules/own-package.ts';
import { CONFIG_FLAG, configOptions, optionsToFlags } from './config-flags.ts';
import type { CopyOptions } from './copy.ts';
import { leaveSignals } from './early-signals.ts';
import type { ExportOptions } from './export.ts';
import { failureToText } from './failure.ts';
import type { HealthOptions } from './health.ts';
import type { ImportOptions } from './import.ts';
import { HOOK_FLAG, type InitOptions } from './init-flags.ts';
import { surviveLostOutput } from './output.ts';

/** @param resolve reads the configuration, whenever it is called */
type Action = (resolve: () => ResolvedConfig) => Promise<void>;

/** What a command whose 1 means damage ends with, if it could not even begin. */
const IMPOSSIBLE = 2;

/**
 * Runs a command line. The process exits with 0, or with 1 and what is wrong on stderr; commands
 * that look for damage end with 1 for that, and with 2 for all else.
 * @param argv as `process.argv`: the command line proper begins at the third
 */
export function runCli(argv: readonly string[]): void {
  surviveLostOutput();
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
  program
    .command('health')
    .option('--ready', 'asks whether it is to be sent clients, not only whether it lives')
    .description(
      'asks the server of this configuration on this machine: exits with 0 if it lives, 1 if not; for containers',
    )
    .action((options: HealthOptions) =>
      run(program, async (resolve) => {
        const { health } = await import('./health.ts');
        await health(resolve(), options);
      }),
    );
  program
    .command('verify')
    .exitOverride(endImpossible)
    .argument('[database]', 'the id of one; all that are there, unless given')
    .description(
      'checks stores, which with LevelDB no server may have open, and changes nothing: exits with 0 ' +
        'if all are sound, 1 if something was found, 2 if a check was not possible',
    )
    .action((database: string | undefined) =>
      run(
        program,
        async (resolve) => {
          const { verify } = await import('./verify.ts');
          await verify(resolve(), database);
        },
        IMPOSSIBLE,
      ),
    );
  program
    .command('copy')
    .exitOverride(endImpossible)
    .argument('[database]', 'the id of one; all that are there, unless given')
    .option('--from <url>', 'the storage to read, as storage.url (default: the configured one)')
    .requiredOption('--to <url>', 'the storage to write, as storage.url')
    .description(
      'copies databases to another storage, and compares; refused while a server has the source: exits with 0 if ' +
        'all are there, 1 if one is damaged, 2 if it was not possible. Interrupted, it goes on when ' +
        'run again',
    )
    .action((database: string | undefined, options: CopyOptions) =>
      run(
        program,
        async (resolve) => {
          const { copy } = await import('./copy.ts');
          await copy(resolve(), database, options);
        },
        IMPOSSIBLE,
      ),
    );
  program
    .command('export')
    .exitOverride(endImpossible)
    .argument('<database>', 'its id')
    .option('--from <url>', 'the storage to read, as storage.url (default: the configured one)')
    .option('--output <file>', 'where to write, - for stdout (default: <database>.ndjson.gz)')
    .option('--force', 'overwrites the file')
    .description(
      'writes a database to a file, as gzipped NDJSON, as it is when it begins: exits with 0 if it is ' +
        'whole and on the disk, 1 if the store is damaged, 2 if it was not possible',
    )
    .action((database: string, options: ExportOptions) =>
      run(
        program,
        async (resolve) => {
          const { exportDatabase } = await import('./export.ts');
          await exportDatabase(resolve(), database, options);
        },
        IMPOSSIBLE,
      ),
    );
  program
    .command('import')
    .exitOverride(endImpossible)
    .argument('<file>', 'what export has written, - for stdin')
    .option('--to <url>', 'the storage to write, as storage.url (default: the configured one)')
    .option('--as <database>', 'the id that it gets (default: the one in the file)')
    .option('--replace', 'takes the place of a database that is there, with a new site id')
    .description(
      'makes a database of an exported file, which is read to its end and checked before (its rows ' +
        'against its log only by verify): exits with 0 if it is there, 1 if file or store is ' +
        'damaged, 2 if it was not possible. Interrupted, it goes on when run again',
    )
    .action((file: string, options: ImportOptions) =>
      run(
        program,
        async (resolve) => {
          const { importDatabase } = await import('./import.ts');
          await importDatabase(resolve(), file, options);
        },
        IMPOSSIBLE,
      ),
    );
  program
    .command('hash-token')
    .description('reads a token from stdin, and prints what may stand for it in auth.tokensFile')
    .action(() =>
      run(program, async () => {
        const { hashToken } = await import('./hash-token.ts');
        await hashToken();
      }),
    );
  program
    .command('init')
    .argument('[directory]', 'where to write', '.')
    .description('writes a configuration and a first hook, and starts nothing')
    .addOption(HOOK_FLAG)
    .option('--yes', 'asks nothing: what no flag says is as by default')
    .action((directory: string, options: InitOptions) =>
      run(program, async () => {
        const { init } = await import('./init.ts');
        await init(directory, { ...program.opts(), ...options });
      }),
    );
  program.parse(argv);
}

// Imported when they run: help and faults in the configuration need no server.
const startServer: Action = async (resolve) => (await import('./start.ts')).start(resolve);
const checkConfig: Action = async (resolve) => (await import('./check.ts')).check(resolve());

/** For what commander itself refuses; help is no fault. */
function endImpossible({ exitCode }: CommanderError): never {
  process.exit(exitCode === 0 ? 0 : IMPOSSIBLE);
}

/** @param failed what the process ends with if it was not possible */
async function run(program: Command, action: Action, failed = 1): Promise<void> {
  // The server has listeners of its own, and takes over when they are there.
  if (action !== startServer && leaveSignals()) process.kill(process.pid, 'SIGHUP');
  try {
    const { configPath, flags } = optionsToFlags(program.opts());
    await action(() => resolveConfig({ configPath, flags }));
  } catch (error) {
    process.stderr.write(`${failureToText(error)}\n`);
    process.exit(failed);
  }
}
