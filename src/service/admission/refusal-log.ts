/**
 * Writes a line to the log for each refused client: who, from where, and why. The number of lines
 * is bounded.
 */

import { siteIdToText } from '../../clock/site-id.ts';
import { toQuoted } from '../../errors/printable.ts';
import { type SyncError, toSyncError } from '../../errors/sync-error.ts';
import { sourceOf } from '../../hooks/client-source.ts';
import type { HookName } from '../../hooks/kinds.ts';
import type { HookAnswer } from '../../hooks/refusal.ts';
import type { ClientIdentity } from '../../hooks/types.ts';
import { BoundedLog } from '../../logging/bounded-log.ts';
import { createLogger, type Logger } from '../../logging/logger.ts';
import type { ErrorCode } from '../../protocol/error-codes.ts';
import type { Reader } from '../access/rights.ts';

export interface Refused {
  /** What the client asked for, such as `websocket login`. */
  what: string;
  code: ErrorCode;
  userId?: string | undefined;
  site?: string | undefined;
  databaseId?: string | undefined;
  address?: string | undefined;
  /** Why, if no hook has refused. */
  reason?: string | undefined;
  /** The answers of the hook modules, in their order. */
  answers?: readonly HookAnswer[];
}

const NAME_LENGTH_MAX = 128;
/**
 * Of a reason, from a hook or the coordinator. Hooks' texts are also limited where they are read.
 */
const REASON_LENGTH_MAX = 400;

export class RefusalLog {
  readonly #log: BoundedLog;

  constructor(logger: Logger = createLogger('sync-coordinator:auth')) {
    this.#log = new BoundedLog({ logger, level: 'warn', verb: 'were refused' });
  }

  /** @param source the client that the line counts for; see `sourceOf` */
  add(source: string | undefined, refused: Refused): void {
    // A failing hook is the operator's concern, everything else the client's.
    const level = refused.code === 'HOOK_FAILED' ? 'error' : 'warn';
    this.#log.add({ source, write: (logger) => logger[level]('%s', toLine(refused)) });
  }

  /**
   * Runs several questions to hooks about one request. If it fails, all answers go into one line.
   * @param what the request, for the line
   */
  async asOne(
    what: string,
    reader: Reader,
    ask: (answers: HookAnswer[]) => Promise<void>,
  ): Promise<void> {
    const answers: HookAnswer[] = [];
    try {
      await ask(answers);
    } catch (error) {
      // Without an answer no hook has refused: the hooks have failed.
      if (answers.length > 0)
        this.addForbidden(reader.who(), what, toSyncError(error).code, answers);
      throw error;
    }
  }

  /**
   * Writes a line if a known client was refused what it wants. To be told to come back later is no
   * refusal.
   */
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

  /** Writes how many lines were left out, and starts anew. To be called at the end. */
  flush(): void {
    this.#log.flush();
  }
}

const FORBIDDEN: ReadonlySet<ErrorCode> = new Set([
  ...(['AUTH_FAILED', 'AUTH_EXPIRED', 'NOT_AUTHENTICATED', 'NOT_AUTHORIZED'] as const),
]);

/** Writes a line for a refusal by a hook that is asked a single question. */
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
 * Begins with what no client can choose. What a client can choose is cut, and quoted as one value,
 * so that it cannot forge other parts of the line.
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
  // Answers to several questions are mostly the same, so each is written once.
  return [`refused ${what}: ${code}`, ...known, ...new Set(reasons)].join('; ');
}
