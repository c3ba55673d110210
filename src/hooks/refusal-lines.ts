/**
 * What the log says of calls that have no value. Clients decide how often a hook trips, so the lines are
 * bounded, by module, hook and where the client comes from; a stack is told once a minute of each hook.
 */

import { BoundedLog } from '../logging/bounded-log.ts';
import { createLogger, type Logger } from '../logging/logger.ts';
import { sourceOf } from './client-source.ts';
import { HOOK_KINDS, type HookName } from './kinds.ts';
import { describeBriefly, describeCause, type Refusal } from './refusal.ts';

const authLog = createLogger('sync-coordinator:auth');

/** A call that ended so. */
export interface RefusedCall {
  hook: HookName;
  module: string;
  refusal: Refusal;
  /** Of the client; see `HookCall`. */
  remoteAddress: string | undefined;
  /** Must not be seen in the log. */
  secret: string | undefined;
}

export class RefusalLines {
  readonly #logger: Logger;
  readonly #authLogger: Logger;
  readonly #failures: BoundedLog;

  /** @param logger instead of `sync-coordinator:auth` (onAuthenticate) and `sync-coordinator:hooks` (the others) */
  constructor(logger?: Logger) {
    this.#logger = logger ?? createLogger('sync-coordinator:hooks');
    this.#authLogger = logger ?? authLog;
    this.#failures = new BoundedLog({ logger: this.#logger, level: 'error', verb: 'failed' });
  }

  add({ hook, module, refusal, remoteAddress, secret }: RefusedCall): void {
    const { outcome, error, cause } = refusal;
    // Strangers are the refusal log's, which has a line for them.
    if (hook === 'onAuthenticate') {
      this.#authLogger('%s: %s %s: %s', module, hook, outcome, describeCause(refusal, secret));
      return;
    }
    const isWaitedFor = HOOK_KINDS[hook] !== 'notify';
    // What a hook says to the client, and a client that has gone, are no failures.
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

  /** A `viewKey` that gave none: nobody is refused for that. */
  addFault(module: string, remoteAddress: string | undefined, fault: unknown): void {
    const source = sourceOf({ remoteAddress, headers: {} });
    this.#failures.addError(`${module}: viewKey`, source, fault);
  }

  /** Says how much was left out. To be called at the end. */
  flush(): void {
    this.#failures.flush();
  }
}
