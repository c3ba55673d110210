/**
 * What a settled call means: the answer, or the refusal that the client gets. The
 * client learns which hook failed and nothing else; the cause goes to the log, with
 * the client's token blotted out.
 */

import { errorToMessage, errorToText } from '../error-text.ts';
import { ERROR_CODES, type ErrorCode, SyncError } from '../errors.ts';
import { InvalidAnswer } from './answered-changes.ts';
import { blotOut } from './blot-out.ts';
import type { Settled } from './call.ts';
import { HOOK_KINDS, type HookName } from './kinds.ts';

/**
 * For metrics. `refused`: the hook did its work and said no (`false`, a SyncError, or any
 * throw of onAuthenticate); `error`, `timeout`, `invalid`: it did not do its work;
 * `aborted`: nobody wants the answer any more.
 */
export type HookOutcome = 'ok' | 'refused' | 'error' | 'timeout' | 'invalid' | 'aborted';

export interface Refusal {
  outcome: Exclude<HookOutcome, 'ok'>;
  /** For the client. */
  error: SyncError;
  /** For the log: `error` itself, if it is what the hook wanted to say. */
  cause: unknown;
}

export type Verdict<T> = { outcome: 'ok'; value: T } | Refusal;

const CAUSE_LENGTH_MAX = 4000;
const REASON_LENGTH_MAX = 200;

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}

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

type Failure = Exclude<HookOutcome, 'ok' | 'refused'>;

const TOLD_BY_FAILURE: Record<Failure, string> = {
  error: 'failed',
  invalid: 'failed',
  timeout: 'took too long',
  aborted: 'was given up',
};

function refuse(hook: HookName, failure: Failure, cause: unknown): Refusal {
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
  const error = new SyncError('HOOK_FAILED', `${hook} ${TOLD_BY_FAILURE[failure]}`, { cause });
  return { outcome: failure, error, cause };
}

/** @param read makes the value of the answer, or throws: a SyncError to refuse, an InvalidAnswer */
export function judge<T>(
  hook: HookName,
  settled: Settled,
  read: (answer: unknown) => T,
): Verdict<T> {
  if (settled.outcome !== 'ok') return refuse(hook, settled.outcome, settled.error);
  try {
    return { outcome: 'ok', value: read(settled.answer) };
  } catch (fault) {
    return refuse(hook, 'invalid', fault);
  }
}

/** Anything thrown, for the log. */
export function describeCause(cause: unknown, secret?: string): string {
  const describe = () => (cause instanceof InvalidAnswer ? cause.message : errorToText(cause));
  return describeWithout(secret, describe, CAUSE_LENGTH_MAX);
}

/** Why a hook refused, in a few words for the log. */
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
