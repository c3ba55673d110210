/** A line of the log for each client that was refused: as who, where, and why. It is bounded. */

import { siteIdToText } from '../clock/site-id.ts';
import { toQuoted } from '../errors/printable.ts';
import { type SyncError, toSyncError } from '../errors/sync-error.ts';
import { sourceOf } from '../hooks/client-source.ts';
import type { HookName } from '../hooks/kinds.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { BoundedLog } from '../logging/bounded-log.ts';
import { createLogger, type Logger } from '../logging/logger.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';

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

const NAME_LENGTH_MAX = 128;
/** Of what a hook or the coordinator says; a hook's words are cut shorter where they are taken up. */
const REASON_LENGTH_MAX = 400;

export class RefusalLog {
  readonly #log: BoundedLog;

  constructor(logger: Logger = createLogger('sync-coordinator:auth')) {
    this.#log = new BoundedLog({ logger, level: 'warn', verb: 'were refused' });
  }

  /** @param source whom it is put down to; see `sourceOf` */
  add(source: string | undefined, refused: Refused): void {
    // A hook that fails is the operator's to mend; all else is the client's.
    const level = refused.code === 'HOOK_FAILED' ? 'error' : 'warn';
    this.#log.add({ source, write: (logger) => logger[level]('%s', toLine(refused)) });
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

  /** Says how much was left out, and begins anew. To be called at the end. */
  flush(): void {
    this.#log.flush();
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

/**
 * First what no client chooses. What an attacker names may be long, and is not worth a long line; and it
 * stays one value, so that nobody is taken for somebody else.
 */
function toLine(refused: Refused): string {
  const { what, code, userId, site, databaseId, address, reason, answers = [] } = refused;
  const facts = Object.entries({ from: address, user: userId, site, database: databaseId });
  const known = facts.flatMap(([name, value]) =>
    value === undefined ? [] : [`${name} ${toQuoted(value, NAME_LENGTH_MAX)}`],
  );
  const reasons = [
    ...answers.map(({ module, answer }) => `${module}: ${toQuoted(answer, REASON_LENGTH_MAX)}`),
    ...(reason === undefined ? [] : [toQuoted(reason, REASON_LENGTH_MAX)]),
  ];
  // To several questions the answer is mostly the same.
  return [`refused ${what}: ${code}`, ...known, ...new Set(reasons)].join('; ');
}
