/**
 * The rights of clients to read, for as long as somebody reads: `onAuthorize` is asked before
 * the first byte, and again when what it said may not hold any more: the client has newer credentials,
 * somebody said so, or it is long ago. What is being sent waits for the answer.
 */

import { decodeHlc, type HlcText } from '../clock/hlc.ts';
import { SyncError } from '../errors.ts';
import type { CallOrigin } from '../hooks/call-origin.ts';
import type { HookChain } from '../hooks/chain.ts';
import type { ClientIdentity, SyncOperation } from '../hooks/types.ts';
import { type IdentityPredicate, IdentityPredicates } from './identity-predicates.ts';

interface Answer {
  to: ClientIdentity;
  /** What was asked had been said about clients by then. */
  moment: number;
  atMs: number;
  isGranted: boolean;
}

type AskedHooks = Pick<HookChain, 'has' | 'authorize'>;

/** A client's right to something that goes on for a while. */
export class ReadRight {
  readonly #rights: Rights;
  readonly #who: () => ClientIdentity;
  readonly #operation: SyncOperation;
  #answer: Answer | undefined;
  #isLost = false;

  /**
   * @param who it is at the moment
   * @param operation that is asked about
   */
  constructor(rights: Rights, who: () => ClientIdentity, operation: SyncOperation) {
    this.#rights = rights;
    this.#who = who;
    this.#operation = operation;
  }

  /** What is known of it at this moment; `unknown` where a hook has to be asked. */
  get state(): 'granted' | 'denied' | 'unknown' {
    if (!this.#rights.isAsked) return 'granted';
    const answer = this.#answer;
    if (answer === undefined || answer.to !== this.#who()) return 'unknown';
    if (!this.#rights.stillHolds(answer)) return 'unknown';
    return answer.isGranted ? 'granted' : 'denied';
  }

  /** Whether it has been denied after it had been granted. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /**
   * Resolves once it is granted: at once, if it is.
   * @throws SyncError NOT_AUTHORIZED, or why nobody could say
   */
  async confirm(signal?: AbortSignal, origin?: CallOrigin): Promise<void> {
    // What is said meanwhile makes it unknown again.
    for (let { state } = this; state !== 'granted'; { state } = this) {
      if (state === 'denied') throw denied();
      await this.ask(this.#operation, signal, origin);
    }
  }

  /** Asks, whatever is known. Throws as `confirm`. */
  async ask(operation = this.#operation, signal?: AbortSignal, origin?: CallOrigin): Promise<void> {
    const to = this.#who();
    const { moment } = this.#rights;
    try {
      await this.#rights.ask(to, operation, signal, origin);
    } catch (error) {
      // Of why nobody could say nothing is kept.
      if (isDenial(error)) this.#note(to, moment, false);
      throw error;
    }
    this.#note(to, moment, true);
  }

  #note(to: ClientIdentity, moment: number, isGranted: boolean): void {
    this.#isLost = !isGranted && this.#answer?.isGranted === true;
    this.#answer = { to, moment, atMs: this.#rights.nowMs, isGranted };
  }
}

export class Rights {
  readonly #hooks: AskedHooks;
  readonly #options: { maxAgeMs: number; now(): number };
  readonly #doubts = new IdentityPredicates();

  /** `maxAgeMs` is how long an answer holds. */
  constructor(hooks: AskedHooks, options: { maxAgeMs: number; now(): number }) {
    this.#hooks = hooks;
    this.#options = options;
  }

  /** What is known of those that are named must be asked anew. */
  doubt(predicate: IdentityPredicate): void {
    this.#doubts.add(predicate);
  }

  /** Whether there is a hook to ask. */
  get isAsked(): boolean {
    return this.#hooks.has.onAuthorize;
  }

  get moment(): number {
    return this.#doubts.now;
  }

  get nowMs(): number {
    return this.#options.now();
  }

  /** Notes down in `answer` that it has been looked at. */
  stillHolds(answer: Answer): boolean {
    // A clock that was set back makes it old, too.
    if (Math.abs(this.nowMs - answer.atMs) > this.#options.maxAgeMs) return false;
    const { now } = this.#doubts;
    if (answer.moment !== now && this.#doubts.names(answer.to, answer.moment)) return false;
    answer.moment = now;
    return true;
  }

  ask(
    client: ClientIdentity,
    operation: SyncOperation,
    signal?: AbortSignal,
    origin?: CallOrigin,
  ): Promise<void> {
    return this.#hooks.authorize(client, operation, signal, origin);
  }

  of(who: () => ClientIdentity, operation: SyncOperation): ReadRight {
    return new ReadRight(this, who, operation);
  }

  /**
   * Asks whether a client may do anything at all, other than reading changes.
   * @throws SyncError NOT_AUTHORIZED when it may not, or why nobody could say
   */
  async demandAny(client: ClientIdentity, databaseId: string, signal?: AbortSignal): Promise<void> {
    const operations: SyncOperation[] = [
      { type: 'apply_changes', databaseId, changeCount: 0 },
      { type: 'get_snapshot', databaseId },
    ];
    for (const operation of operations) {
      try {
        return await this.ask(client, operation, signal);
      } catch (error) {
        if (!isDenial(error)) throw error;
      }
    }
    throw denied();
  }
}

/** What is asked about whoever reads changes. */
export function toGetChanges(databaseId: string, sinceHLC?: HlcText): SyncOperation {
  const since = sinceHLC === undefined ? undefined : decodeHlc(sinceHLC);
  return { type: 'get_changes', databaseId, sinceHLC: since };
}

/** Whether a hook has said no; not that nobody could say, or not now. */
export function isDenial(error: unknown): error is SyncError {
  return error instanceof SyncError && error.code === 'NOT_AUTHORIZED';
}

function denied(): SyncError {
  return new SyncError('NOT_AUTHORIZED', 'not allowed');
}

/** A stream that goes on only while there is a right to it. */
export async function* whileGranted<Chunk>(
  chunks: AsyncIterable<Chunk>,
  right: ReadRight,
  signal?: AbortSignal,
): AsyncGenerator<Chunk> {
  for await (const chunk of chunks) {
    if (right.state !== 'granted') await right.confirm(signal);
    yield chunk;
  }
}
