/**
 * Limits log lines that clients cause, so that no client can flood the log: each source, and all
 * together, have a number of lines within a minute. Then one line counts the others.
 */

import { errorToMessage } from '../errors/error-text.ts';
import { toQuoted } from '../errors/printable.ts';
import type { Logger } from './logger.ts';

export interface BoundedLogOptions {
  logger: Logger;
  /** The level of lines that count others. */
  level: 'warn' | 'error';
  /** What the counted ones did, such as `were refused`. */
  verb: string;
}

export interface Occurrence {
  /** Who caused it, such as an address; `undefined` if that is not known. */
  source: string | undefined;
  /**
   * What has happened, in words that no client chooses. Each topic gets at least one line in every
   * minute.
   */
  topic?: string;
  /**
   * @param isFirst whether it is the first of its topic within this minute, to be written with all
   * details
   */
  write(logger: Logger, isFirst: boolean): void;
}

const WINDOW_MS = 60_000;
const LINES_PER_SOURCE = 10;
const LINES_IN_ALL = 300;
/** Further sources share one tally. */
const SOURCES_MAX = 1000;
/** Sources with their own line that counts the others; further ones share one. */
const SUMMARIES_MAX = 10;
const SOURCE_LENGTH_MAX = 128;
const MESSAGE_LENGTH_MAX = 200;

/** A thrown value may be anything, and may throw when it is read. */
function briefly(error: unknown): string {
  try {
    const text = typeof error === 'string' ? error : errorToMessage(error);
    return text.slice(0, MESSAGE_LENGTH_MAX);
  } catch {
    return 'something that cannot be printed';
  }
}

export class BoundedLog {
  readonly #options: BoundedLogOptions;
  /**
   * For the current minute: how many lines each topic and source had, and how many were left out.
   */
  readonly #tallies = new Map<string, { lines: number; more: number }>();
  readonly #topics = new Set<string>();
  #lines = 0;
  #window: NodeJS.Timeout | undefined;

  constructor(options: BoundedLogOptions) {
    this.#options = options;
  }

  add({ source, topic = '', write }: Occurrence): void {
    const tally = this.#tallyOf(topic, source);
    const isFirst = !this.#topics.has(topic);
    if (!isFirst && (tally.lines >= LINES_PER_SOURCE || this.#lines >= LINES_IN_ALL)) {
      tally.more++;
      return;
    }
    this.#topics.add(topic);
    tally.lines++;
    this.#lines++;
    write(this.#options.logger, isFirst);
  }

  /**
   * Adds an error. Only the first one of its topic is logged with its stack.
   * @param what the beginning of the line. Default: the topic
   */
  addError(topic: string, source: string | undefined, error: unknown, what = topic): void {
    const write = (logger: Logger, isFirst: boolean) =>
      logger.error('%s: %O', what, isFirst ? error : briefly(error));
    this.add({ topic, source, write });
  }

  #tallyOf(topic: string, source: string | undefined) {
    this.#window ??= setTimeout(() => this.flush(), WINDOW_MS).unref();
    const from = source === undefined ? 'unknown addresses' : toQuoted(source, SOURCE_LENGTH_MAX);
    const own = topic === '' ? `from ${from}` : `${topic} from ${from}`;
    const isRoom = this.#tallies.has(own) || this.#tallies.size < SOURCES_MAX;
    const key = isRoom ? own : 'from other addresses';
    const tally = this.#tallies.get(key) ?? { lines: 0, more: 0 };
    this.#tallies.set(key, tally);
    return tally;
  }

  /** Logs how many lines were left out, and begins a new minute. To be called at the end. */
  flush(): void {
    clearTimeout(this.#window);
    this.#window = undefined;
    const { logger, level, verb } = this.#options;
    const left = [...this.#tallies].filter(([, { more }]) => more > 0);
    const shown = left.sort(([, a], [, b]) => b.more - a.more).splice(0, SUMMARIES_MAX);
    for (const [whose, { more }] of shown) {
      logger[level]('%s: %d more %s within a minute', whose, more, verb);
    }
    const more = left.reduce((sum, [, tally]) => sum + tally.more, 0);
    if (more > 0) {
      logger[level]('from %d more sources: %d %s within a minute', left.length, more, verb);
    }
    this.#tallies.clear();
    this.#topics.clear();
    this.#lines = 0;
  }
}
