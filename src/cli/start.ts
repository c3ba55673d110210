/** `sync-coordinator`: starts the server, and ends it cleanly or loads its hooks anew on a signal. */

import closeWithGrace from 'close-with-grace';
import { maskUrl } from '../config/option-display.ts';
import type { ResolvedConfig } from '../config/resolve-config.ts';
import { toPrintableLines } from '../errors/printable.ts';
import { PACKAGE_NAME, PACKAGE_VERSION } from '../modules/own-package.ts';
import { type CoordinatorServer, createCoordinatorServer } from '../server.ts';
import { findStorage } from '../storage/by-address/open-storage.ts';
import { leaveSignals } from './early-signals.ts';
import { failureToText } from './failure.ts';
import { Hangups } from './hangups.ts';
import { startLogging } from './logging.ts';
import { neverWaitForReaders } from './output.ts';
import { keepFilesPrivate } from './private-files.ts';
import { reload } from './reload.ts';
import { tuneRuntime } from './tune-runtime.ts';
import { configToWarnings, sayWarning } from './warnings.ts';

/** What the stop may take beyond `limits.shutdownMs`, which is for its clients, to close the stores. */
const STOP_MARGIN_MS = 5000;

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT'] as const;
/**
 * What close-with-grace would listen for as well. A process that crashed (SIGSEGV) can't stop in order:
 * it would come back to what crashed it for ever. With SIGUSR2 Node.js is asked for reports.
 */
const LEFT_ALONE = [
  ...(['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2'] as const),
];
/** One Ctrl-C may arrive twice: from the terminal, and passed on by `npm start`. */
const SAME_SIGNAL_MS = 1000;

/** @param resolve reads the configuration: now, and again when it is to be loaded anew */
export async function start(resolve: () => ResolvedConfig): Promise<void> {
  // First of all: whatever takes long here can be stopped.
  const hangups = new Hangups();
  const stops = new Stops();
  if (leaveSignals()) hangups.note();
  tuneRuntime();
  keepFilesPrivate();
  neverWaitForReaders();
  const resolved = resolve();
  const { config, sources } = resolved;
  startLogging(config.logging.level, config.logging.namespaces);
  // A refusal of it here names who set it, which the server no longer knows.
  await findStorage(config.storage, process.cwd(), sources.get('storage.url'));
  const server = await createCoordinatorServer({ config });
  stops.answer(stopper(server, config.limits.shutdownMs));
  process.on('unhandledRejection', (reason) => server.noteStrayRejection(reason));
  const newWarnings = toNewWarnings(server);
  const warnings = await newWarnings(resolved);
  const { port } = await server.start();
  hangups.answer({
    reload: () => reload(server, config, resolve, newWarnings),
    stop: () => stops.take('SIGHUP'),
  });
  process.stdout.write(`${startToText(resolved, port, server.describe())}\n`);
  for (const warning of warnings) sayWarning(warning);
}

/** What is allowed and probably not meant, each once. */
function toNewWarnings(server: CoordinatorServer): (resolved: ResolvedConfig) => Promise<string[]> {
  const said = new Set<string>();
  return async (resolved) => {
    const kinds = server.describe().hooks.flatMap((module) => module.kinds);
    const warnings = (await configToWarnings(resolved, kinds)).filter((text) => !said.has(text));
    for (const warning of warnings) said.add(warning);
    return warnings;
  };
}

/** What asks the server to stop: the first time in order, the second time at once. */
class Stops {
  #stop: (() => void) | undefined;
  #firstAtMs: number | undefined;

  constructor() {
    for (const signal of STOP_SIGNALS) process.on(signal, () => this.take(signal));
  }

  /** Until this is called there is nothing that would have to end in order. */
  answer(stop: () => void): void {
    this.#stop = stop;
  }

  take(signal: NodeJS.Signals): void {
    if (this.#firstAtMs === undefined) {
      this.#firstAtMs = performance.now();
      process.stdout.write(`${signal}: stopping\n`);
      if (this.#stop === undefined) process.exit(0);
      this.#stop();
    } else if (signal !== 'SIGHUP' && performance.now() - this.#firstAtMs > SAME_SIGNAL_MS) {
      say(`a second ${signal}: stopping at once`);
      process.exit(1);
    }
  }
}

/** @returns what stops it, within a time */
function stopper(server: CoordinatorServer, shutdownMs: number): () => void {
  const options: closeWithGrace.Options = {
    delay: shutdownMs + STOP_MARGIN_MS,
    logger: { error: (error: unknown) => process.stderr.write(`${failureToText(error)}\n`) },
    onTimeout: (delayMs) => say(`did not stop within ${delayMs} ms`),
    // A forgotten promise of a hook is no reason to stop the server.
    skip: [...STOP_SIGNALS, ...LEFT_ALONE, 'SIGHUP', 'unhandledRejection'],
  };
  const grace = closeWithGrace(options, async ({ err }) => {
    if (err) say(toPrintableLines(`stopping after an unexpected error: ${err.stack}`));
    await server.stop();
  });
  return () => grace.close();
}

function say(text: string): void {
  process.stderr.write(`${PACKAGE_NAME}: ${text}\n`);
}

function startToText(
  { config: { host, basePath }, filePath = 'none' }: ResolvedConfig,
  port: number,
  { storage, auth, hooks }: ReturnType<CoordinatorServer['describe']>,
): string {
  const place = `${hostToShown(host)}:${port}${basePath}`;
  const hookLines = hooks.map(({ name, kinds }) => `          ${name} (${kinds.join(', ')})`);
  return [
    `${PACKAGE_NAME} ${PACKAGE_VERSION}`,
    `  http    http://${place}`,
    `  ws      ws://${place}/ws`,
    `  config  ${filePath}`,
    `  store   ${maskUrl(storage)}`,
    `  auth    ${auth}`,
    `  hooks   ${hooks.length === 0 ? 'none' : hooks.length}`,
    ...hookLines,
  ].join('\n');
}

/** An address that can be opened, where the host stands for all of this machine's. */
function hostToShown(host: string): string {
  if (host === '0.0.0.0' || host === '::') {
    return 'localhost';
  }
  return host.includes(':') ? `[${host}]` : host;
}
