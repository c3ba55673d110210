/**
 * Log lines about calls that were refused or failed. Clients can cause any number of them, so the
 * lines are limited by module, hook and source of the client; each hook's stack is logged once a
 * minute.
 */

import { BoundedLog } from '../logging/bounded-log.ts';
import { createLogger, type Logger } from '../logging/logger.ts';
import { sourceOf } from './client-source.ts';
import { HOOK_KINDS, type HookName } from './kinds.ts';
import { describeBriefly, describeCause, type Refusal } from './refusal.ts';

const authLog = createLogger('sync-coordinator:auth');

/** A call that was refused or failed. */
export interface RefusedCall {
  hook: HookName;
  module: string;
  refusal: Refusal;
  /** The client's address; see `HookCall`. */
  remoteAddress: string | undefined;
  /** Text that must not appear in the log. */
  secret: string | undefined;
}

export class RefusalLines {
  readonly #logger: Logger;
  readonly #authLogger: Logger;
  readonly #failures: BoundedLog;

  /**
   * @param logger default: `sync-coordinator:auth` for onAuthenticate, `sync-coordinator:hooks` for
   * the others
   */
  constructor(logger?: Logger) {
    this.#logger = logger ?? createLogger('sync-coordinator:hooks');
    this.#authLogger = logger ?? authLog;
    this.#failures = new BoundedLog({ logger: this.#logger, level: 'error', verb: 'failed' });
  }

  add({ hook, module, refusal, remoteAddress, secret }: RefusedCall): void {
    const { outcome, error, cause } = refusal;
    // The refusal log has a line for clients that are not let in.
    if (hook === 'onAuthenticate') {
      this.#authLogger('%s: %s %s: %s', module, hook, outcome, describeCause(refusal, secret));
      return;
    }
    const isWaitedFor = HOOK_KINDS[hook] !== 'notify';
    // An error that the hook meant for the client, and a client that has gone, are no failures.
    if (isWaitedFor && (error === cause || outcome === 'aborted')) {
      this.#logger('%s: %s %s with %s', module, hook, outcome, error.code);
      return;
    }
    this.#failures.add({
      source: sourceOf({ remoteAddress, headers: {} }),
      topic: `${module}: ${hook}`,
      write(logger, isFirst) {
        const describe = isFirst ? describeCause : describeBriefly;
        logger.error('%s: %s %s: %s', module, hook, outcome, describe(refusal, secret));
      },
    });
  }

  /** A `viewKey` failed, for which no client is refused. */
  addFault(module: string, remoteAddress: string | undefined, fault: unknown): void {
    const source = sourceOf({ remoteAddress, headers: {} });
    this.#failures.addError(`${module}: viewKey`, source, fault);
  }

  /** Logs how many lines were left out. To be called at the end. */
  flush(): void {
    this.#failures.flush();
  }
}
