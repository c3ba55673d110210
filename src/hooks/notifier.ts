/**
 * Tells hooks for which nobody waits: keeps hold of the running calls, so that a stop
 * can wait for them. A failure is logged and counted by the asker and ends here.
 */

import type { Asker, Invoke } from './asker.ts';
import type { HookOfKind } from './kinds.ts';
import type { LoadedHooks } from './types.ts';

export interface Notifier {
  tell(hook: HookOfKind<'notify'>, invoke: Invoke, module: LoadedHooks): void;
  drain(deadlineMs: number): Promise<void>;
}

export function createNotifier(ask: Asker): Notifier {
  const running = new Set<Promise<unknown>>();
  const stop = new AbortController();

  return {
    tell(hook, invoke, module) {
      const done = () => running.delete(told);
      const question = { hook, invoke, read: () => undefined, signals: [stop.signal] };
      const told: Promise<unknown> = ask(question, module).then(done, done);
      running.add(told);
    },

    async drain(deadlineMs) {
      const reason = new Error(`not done ${deadlineMs} ms after the server began to stop`);
      const timer = setTimeout(() => stop.abort(reason), deadlineMs);
      // A call that ends may have let another begin: a disconnect, for one.
      while (running.size > 0) await Promise.all(running);
      clearTimeout(timer);
    },
  };
}
