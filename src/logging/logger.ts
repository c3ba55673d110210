/**
 * Logging through `debug`. A logger's namespace is for its events; `:warn` and `:error` below it
 * are for what an operator should see, so that `DEBUG=sync-coordinator:ws,sync-coordinator:*:error`
 * works as expected.
 *
 * An entry is one line; only the text of an object (an error's stack) continues below it, indented.
 * Of an error the text is logged, not its other properties.
 */

import { inspect } from 'node:util';
import debug from 'debug';
import { errorToText, isError } from '../errors/error-text.ts';
import { toPrintable, toPrintableLines } from '../errors/printable.ts';

export interface Logger {
  (format: string, ...args: unknown[]): void;
  warn(format: string, ...args: unknown[]): void;
  error(format: string, ...args: unknown[]): void;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const NAMESPACES_BY_LEVEL: Record<LogLevel, string> = {
  debug: 'sync-coordinator:*,quereus:sync:*',
  info: 'sync-coordinator:server,sync-coordinator:*:warn,sync-coordinator:*:error',
  warn: 'sync-coordinator:*:warn,sync-coordinator:*:error',
  error: 'sync-coordinator:*:error',
};

/** @param mark gives the beginning of a line, which is put in brackets; `undefined` for none */
export function createLogger(namespace: string, mark?: () => string | undefined): Logger {
  return Object.assign(lineLogger(namespace, mark), {
    warn: lineLogger(`${namespace}:warn`, mark),
    error: lineLogger(`${namespace}:error`, mark),
  });
}

function lineLogger(namespace: string, mark?: () => string | undefined) {
  const log = debug(namespace);
  return (format: unknown, ...args: unknown[]): void => {
    if (!log.enabled) return;
    const marked = mark?.();
    const [before, marks] = marked === undefined ? ['', []] : ['[%s] ', [toPrintable(marked)]];
    // Hooks, which are JavaScript, may put names into the format, or pass an error instead of a
    // format.
    if (typeof format === 'string') {
      log(before + toPlainFormat(format), ...marks, ...args.map(toPrintableArg));
    } else log(`${before}%s`, ...marks, ...[format, ...args].map(toPrintableArg));
  };
}

/**
 * Replaces %o and %O, with which `debug` would print objects itself, without escaping their texts.
 */
function toPlainFormat(format: string): string {
  return toPrintable(format).replaceAll(/%[%Oo]/g, (mark) => (mark === '%%' ? mark : '%s'));
}

function toPrintableArg(arg: unknown): unknown {
  if (typeof arg === 'string') return toPrintable(arg);
  if (typeof arg === 'function' || (typeof arg === 'object' && arg !== null)) {
    return toPrintableLines(inspectSafely(arg));
  }
  return typeof arg === 'symbol' ? toPrintable(String(arg)) : arg;
}

function inspectSafely(arg: object): string {
  try {
    return isError(arg) ? errorToText(arg) : inspect(arg);
  } catch {
    return 'something that cannot be printed';
  }
}

/**
 * Switches on the namespaces of a level plus those named outright.
 * @param namespaces a `debug` filter, comma-separated; wins over the level where it excludes with `-`
 */
export function enableLogging(level: LogLevel, namespaces: string): void {
  debug.enable([NAMESPACES_BY_LEVEL[level], namespaces].filter(Boolean).join(','));
}
