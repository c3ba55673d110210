/**
 * The refusal of a call: the error that the client gets, and the text for the log. The client
 * learns only which hook failed. The cause goes to the log, without the client's token.
 */

import { errorToMessage, errorToText } from '../errors/error-text.ts';
import { SyncError } from '../errors/sync-error.ts';
import { isErrorCode } from '../protocol/error-codes.ts';
import { InvalidAnswer } from './invalid-answer.ts';
import { HOOK_KINDS, type HookName } from './kinds.ts';
import { blotOut } from './redact.ts';

/**
 * The outcome of a call, for metrics. `refused`: the hook worked, and refused (`false`, a
 * SyncError, or any throw of onAuthenticate). `error`, `timeout`, `invalid`: it failed. `aborted`:
 * the caller or the server has given the call up.
 */
export type HookOutcome = 'ok' | 'refused' | 'error' | 'timeout' | 'invalid' | 'aborted';

export interface Refusal {
  outcome: Exclude<HookOutcome, 'ok'>;
  /** For the client. */
  error: SyncError;
  /** For the log. It is `error` itself if the hook threw that for the client. */
  cause: unknown;
}

/** A module's answer to a client that is not let in, for the log. */
export interface HookAnswer {
  module: string;
  /**
   * A short text without the client's token; `PASSED` if the module does not know such credentials.
   */
  answer: string;
}

export const PASSED = 'passed';

const CAUSE_LENGTH_MAX = 4000;
const REASON_LENGTH_MAX = 200;

/**
 * Converts a hook's SyncError to one of this package. A hook package may have its own copy of this
 * package, whose SyncError is another class; and a hook may throw one with an unknown code.
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
    // Its getters throw.
    return undefined;
  }
}

/** How a call failed. `invalid`: reading the answer threw, also if it threw a refusal. */
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
    // The cause may contain the credentials: it is logged without them, and not passed on.
    if (isOutage(cause)) {
      return { outcome: failure, error: new SyncError('HOOK_FAILED', `${hook} failed`), cause };
    }
    const error = new SyncError('AUTH_FAILED', 'authentication failed');
    return { outcome: 'refused', error, cause };
  }
  const error = new SyncError('HOOK_FAILED', `${hook} ${TEXT_BY_FAILURE[failure]}`, { cause });
  return { outcome: failure, error, cause };
}

/** What an error is called where something that the hook asked was not to be had; it says nothing of who asks. */
const OUTAGE_NAMES: ReadonlySet<unknown> = new Set(['TimeoutError', 'AbortError']);
const OUTAGE_CODES =
  /^(?:UND_ERR_|ERR_JWKS_TIMEOUT$|E(?:CONN|HOST|NET|PIPE|TIMEDOUT$|AI_|NOTFOUND$|ADDR|MFILE$|NFILE$))/;
const CAUSES_MAX = 10;

/** Whether a call has failed since a service, or the network to it, is down. */
function isOutage(thrown: unknown): boolean {
  const causes: unknown[] = [thrown];
  try {
    for (let i = 0; i < causes.length && i < CAUSES_MAX; i++) {
      const error = causes[i];
      if (!(error instanceof Error)) continue;
      if (OUTAGE_NAMES.has(error.name)) return true;
      if ('code' in error && OUTAGE_CODES.test(String(error.code))) return true;
      causes.push(error.cause, ...(error instanceof AggregateError ? error.errors : []));
    }
  } catch {
    // It can't be looked at.
  }
  return false;
}

/** Why a hook failed, with all details for the log. */
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
