/**
 * A line of the log for each client that was refused: as who, where, and why. Whoever is refused all
 * the time can't flood the log with it: of each source, and of all together, there are only so many
 * lines within a minute, and then one that counts the others.
 */

import { siteIdToText } from '../clock/site-id.ts';
import { type ErrorCode, type SyncError, toSyncError } from '../errors/sync-error.ts';
import { sourceOf } from '../hooks/client-source.ts';
import type { HookName } from '../hooks/kinds.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { createLogger, type Logger } from '../logging/logger.ts';

export interface Refused {
  /** What was asked for, such as `websocket login`. */
  what: string;
  code: ErrorCode;
  userId?: string | undefined;
  site?: string | undefined;
  databaseId?: string | undefined;
  address?: string | undefined;
  /** Why, where it was no hook that refused. */
  reason?: string | undefined;
  /** Of the hook modules that were asked, in their order. */
  answers?: readonly HookAnswer[];
}

const WINDOW_MS = 60_000;
const LINES_PER_SOURCE = 10;
const LINES_IN_ALL = 300;
/** Further ones share one place. */
const SOURCES_MAX = 1000;
/** Of those that had more lines than are written; the others are summed up. */
const SUMMARIES_MAX = 10;
const NAME_LENGTH_MAX = 128;
const OTHERS = 'other addresses';

export class RefusalLog {
  readonly #logger: Logger;
  /** Of the window that runs: how often each source was refused. */
  readonly #refusals = new Map<string, { lines: number; more: number }>();
  #lines = 0;
  #window: NodeJS.Timeout | undefined;

  constructor(logger: Logger = createLogger('sync-coordinator:auth')) {
    this.#logger = logger;
  }

  /** @param source whom it is put down to; see `sourceOf` */
  add(source: string | undefined, refused: Refused): void {
    const tally = this.#tallyOf(source ?? 'unknown addresses');
    if (tally.lines >= LINES_PER_SOURCE || this.#lines >= LINES_IN_ALL) {
      tally.more++;
      return;
    }
    tally.lines++;
    this.#lines++;
    // A hook that fails is the operator's to mend; all else is the client's.
    const log = refused.code === 'HOOK_FAILED' ? this.#logger.error : this.#logger.warn;
    log('%s', toLine(refused));
  }

  /**
   * Asks hooks several questions about what a client wants: where it comes to nothing, that is one line, with
   * the answers to all of them.
   * @param what it wants
   */
  async asOne(
    what: string,
    who: () => ClientIdentity,
    ask: (answers: HookAnswer[]) => Promise<void>,
  ): Promise<void> {
    const answers: HookAnswer[] = [];
    try {
      await ask(answers);
    } catch (error) {
      // Without an answer it was nobody who forbade it.
      if (answers.length > 0) this.addForbidden(who(), what, toSyncError(error).code, answers);
      throw error;
    }
  }

  /** A client that is known, and may not do what it wants. That it is to come back later is no refusal. */
  addForbidden(
    { userId, siteId, databaseId, remoteAddress: address }: ClientIdentity,
    what: string,
    code: ErrorCode,
    answers: readonly HookAnswer[],
  ): void {
    if (!FORBIDDEN.has(code)) return;
    const refused = { what, code, userId, site: siteIdToText(siteId), databaseId, address };
    this.add(sourceOf({ remoteAddress: address, headers: {} }), { ...refused, answers });
  }

  #tallyOf(source: string) {
    this.#window ??= setTimeout(() => this.flush(), WINDOW_MS).unref();
    const isRoom = this.#refusals.has(source) || this.#refusals.size < SOURCES_MAX;
    const key = isRoom ? source : OTHERS;
    const tally = this.#refusals.get(key) ?? { lines: 0, more: 0 };
    this.#refusals.set(key, tally);
    return tally;
  }

  /** Says how much was left out, and begins anew. To be called at the end. */
  flush(): void {
    clearTimeout(this.#window);
    this.#window = undefined;
    const left = [...this.#refusals].filter(([, { more }]) => more > 0);
    const shown = left.sort(([, a], [, b]) => b.more - a.more).splice(0, SUMMARIES_MAX);
    for (const [source, { more }] of shown) {
      this.#logger.warn('from %s: %d more were refused within a minute', source, more);
    }
    const more = left.reduce((sum, [, tally]) => sum + tally.more, 0);
    if (more > 0) {
      const { length } = left;
      this.#logger.warn('from %d more addresses: %d were refused within a minute', length, more);
    }
    this.#refusals.clear();
    this.#lines = 0;
  }
}

const FORBIDDEN: ReadonlySet<ErrorCode> = new Set([
  ...(['AUTH_FAILED', 'AUTH_EXPIRED', 'NOT_AUTHENTICATED', 'NOT_AUTHORIZED'] as const),
]);

/** What a hook forbids that is asked one question. */
export function noteForbidden(
  refusals: RefusalLog,
  client: ClientIdentity,
  hook: HookName,
  { code }: SyncError,
  answer: HookAnswer,
): void {
  const what = hook === 'onClientConnect' ? 'websocket session' : 'request';
  refusals.addForbidden(client, what, code, [answer]);
}

/** What an attacker names may be long, and is not worth a long line. */
function toLine(refused: Refused): string {
  const { what, code, userId, site, databaseId, address, reason, answers = [] } = refused;
  const facts = Object.entries({ user: userId, site, database: databaseId, from: address });
  const known = facts.flatMap(([name, value]) =>
    value === undefined ? [] : [`${name} ${value.slice(0, NAME_LENGTH_MAX)}`],
  );
  const reasons = [
    ...answers.map(({ module, answer }) => `${module}: ${answer}`),
    ...(reason === undefined ? [] : [reason]),
  ];
  // To several questions the answer is mostly the same.
  return [`refused ${what}: ${code}`, ...known, ...new Set(reasons)].join('; ');
}
