/**
 * What a call means that has no value: the error that the client gets, and the words for the log. The
 * client learns which hook failed and nothing else; the cause is for the log, with
 * the client's token blotted out.
 */

import { errorToMessage, errorToText } from '../errors/error-text.ts';
import { SyncError } from '../errors/sync-error.ts';
import { isErrorCode } from '../protocol/error-codes.ts';
import { InvalidAnswer } from './answered-changes.ts';
import { blotOut } from './blot-out.ts';
import { HOOK_KINDS, type HookName } from './kinds.ts';

/**
 * For metrics. `refused`: the hook did its work and said no (`false`, a SyncError, or any
 * throw of onAuthenticate); `error`, `timeout`, `invalid`: it did not do its work;
 * `aborted`: the caller or the server has given the call up.
 */
export type HookOutcome = 'ok' | 'refused' | 'error' | 'timeout' | 'invalid' | 'aborted';

export interface Refusal {
  outcome: Exclude<HookOutcome, 'ok'>;
  /** For the client. */
  error: SyncError;
  /** For the log: `error` itself, if it is what the hook wanted to say. */
  cause: unknown;
}

/** What a module said to a client that is not let in, for the log. */
export interface HookAnswer {
  module: string;
  /** In a few words, `PASSED` if it did not know such credentials. Without the client's token. */
  answer: string;
}

export const PASSED = 'passed';

const CAUSE_LENGTH_MAX = 4000;
const REASON_LENGTH_MAX = 200;

/**
 * What a hook meant to say, in an error of our own: a hook package may bring its own copy of this
 * package, whose SyncError is another class, and nothing keeps a hook from throwing one with a
 * code that there isn't.
 */
function readSyncError(thrown: unknown): SyncError | undefined {
  if (!(thrown instanceof Error) || thrown.name !== 'SyncError') return undefined;
  const { message, cause } = thrown;
  const code = 'code' in thrown ? thrown.code : undefined;
  if (!isErrorCode(code) || typeof message !== 'string') return undefined;
  const after = 'retryAfterMs' in thrown ? thrown.retryAfterMs : undefined;
  const isTime = typeof after === 'number' && Number.isFinite(after) && after >= 0;
  return new SyncError(code, message, { cause, retryAfterMs: isTime ? after : undefined });
}

function asSyncError(thrown: unknown): SyncError | undefined {
  try {
    return readSyncError(thrown);
  } catch {
    // It can't even be looked at.
    return undefined;
  }
}

/** How a call failed. An answer whose reader threw is `invalid`, also if that is how it says no. */
export type Failure = Exclude<HookOutcome, 'ok' | 'refused'>;

const TEXT_BY_FAILURE: Record<Failure, string> = {
  error: 'failed',
  invalid: 'failed',
  timeout: 'took too long',
  aborted: 'was given up',
};

export function toRefusal(hook: HookName, failure: Failure, cause: unknown): Refusal {
  const meant = HOOK_KINDS[hook] === 'notify' ? undefined : asSyncError(cause);
  if (meant !== undefined) {
    const outcome = failure === 'aborted' ? 'aborted' : 'refused';
    return { outcome, error: meant, cause: meant };
  }
  if (hook === 'onAuthenticate' && failure === 'error') {
    // The cause may hold the credentials: it is logged without them, and does not travel on.
    const error = new SyncError('AUTH_FAILED', 'authentication failed');
    return { outcome: 'refused', error, cause };
  }
  const error = new SyncError('HOOK_FAILED', `${hook} ${TEXT_BY_FAILURE[failure]}`, { cause });
  return { outcome: failure, error, cause };
}

/** Why a hook failed, with all that the log may know of it. */
export function describeCause({ cause }: Refusal, secret?: string): string {
  const describe = () => (cause instanceof InvalidAnswer ? cause.message : errorToText(cause));
  return describeWithout(secret, describe, CAUSE_LENGTH_MAX);
}

/** The same in a few words. */
export function describeBriefly({ cause }: Refusal, secret?: string): string {
  return describeWithout(secret, () => errorToMessage(cause), REASON_LENGTH_MAX);
}

function describeWithout(
  secret: string | undefined,
  describe: () => string,
  lengthMax: number,
): string {
  try {
    const text = describe();
    return (secret ? blotOut(text, secret) : text).slice(0, lengthMax);
  } catch {
    return 'something that cannot be printed';
  }
}
