/**
 * Logging through `debug`. A logger's namespace is its events; `:warn` and
 * `:error` below it are for what an operator should see, so that
 * `DEBUG=sync-coordinator:ws,sync-coordinator:*:error` means what it says.
 */

import debug from 'debug';

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

export function createLogger(namespace: string): Logger {
  return Object.assign(lineLogger(namespace), {
    warn: lineLogger(`${namespace}:warn`),
    error: lineLogger(`${namespace}:error`),
  });
}

function lineLogger(namespace: string) {
  const log = debug(namespace);
  return (format: string, ...args: unknown[]): void => {
    if (log.enabled) log(format, ...args.map(toPrintable));
  };
}

/** Control characters, line separators, and what turns the direction of writing around. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Text from outside stays on its line: nobody can make up a line of the log, or move its cursor. */
function toPrintable(arg: unknown): unknown {
  if (typeof arg !== 'string') return arg;
  return arg.replaceAll(
    UNPRINTABLE,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * Switches on the namespaces of a level plus those named outright.
 * @param namespaces a `debug` filter, comma-separated; wins over the level where it excludes with `-`
 */
export function enableLogging(level: LogLevel, namespaces: string): void {
  debug.enable([NAMESPACES_BY_LEVEL[level], namespaces].filter(Boolean).join(','));
}
