/**
 * The connected clients, and which instances of modules know of each: those whose `onClientConnect`
 * was invoked for it, and those that took it over in a reload. Exactly these instances are
 * notified, once, when the client has gone.
 */

import type { WebSocket } from 'ws';
import { Call } from '../call.ts';
import { originOf } from '../call-origin.ts';
import type { HookName } from '../kinds.ts';
import type { ClientIdentity } from '../types.ts';
import { readPermission } from '../verdicts/answers.ts';
import type { HookStep, Invocation } from './hook-step.ts';

/** The steps of `onClientDisconnect` to be invoked for a client. */
type Knowing = readonly HookStep[];

type Run = Invocation<void>['run'];

/** The part of the invoker that is needed here. */
interface Invoker {
  readonly steps: Readonly<Record<HookName, readonly HookStep[]>>;
  all(hook: 'onClientConnect', client: ClientIdentity, invocation: Invocation<void>): Promise<void>;
  notify(
    hook: 'onClientHandover' | 'onClientDisconnect',
    client: ClientIdentity,
    invocation: Invocation<void>,
    steps: readonly HookStep[],
  ): void;
}

export class Visits {
  readonly #invoker: Invoker;
  /** A list for each identity: without a server, as in tests, several connections may share one. */
  readonly #knowing = new Map<ClientIdentity, Knowing[]>();

  constructor(invoker: Invoker) {
    this.#invoker = invoker;
  }

  /**
   * Rejects unless every module says `true`. Then those that were invoked are notified that it has
   * gone.
   */
  async connect(client: ClientIdentity, socket: WebSocket, signal?: AbortSignal): Promise<void> {
    let invoked = 0;
    const run: Run = ({ hooks }, call) => {
      invoked++;
      return hooks.onClientConnect?.(client, socket, call);
    };
    const newCall = () => new Call(originOf(client));
    const invocation = { run, read: readPermission, newCall, signal };
    try {
      await this.#invoker.all('onClientConnect', client, invocation);
    } catch (error) {
      this.#notifyGone(client, this.#knowingAfter(invoked));
      throw error;
    }
    this.#add(client, this.#invoker.steps.onClientDisconnect);
  }

  disconnect(client: ClientIdentity): void {
    const all = this.#knowing.get(client);
    const knowing = all?.pop() ?? [];
    if (all?.length === 0) this.#knowing.delete(client);
    this.#notifyGone(client, knowing);
  }

  /**
   * Takes over a connected client. A module that can't be notified of that is not notified of its
   * end either.
   */
  takeOver(client: ClientIdentity): void {
    const { steps } = this.#invoker;
    const knowing = steps.onClientDisconnect.filter(
      // A module without either hook is only notified of ends.
      ({ module: { hooks } }) =>
        hooks.onClientHandover !== undefined || hooks.onClientConnect === undefined,
    );
    this.#add(client, knowing);
    this.#notify('onClientHandover', client, steps.onClientHandover, ({ hooks }, call) =>
      hooks.onClientHandover?.(client, call),
    );
  }

  /** Forgets all clients, or one of them. @returns them, for another generation to take over */
  handOver(client?: ClientIdentity): ClientIdentity[] {
    const clients = client === undefined ? [...this.#knowing.keys()] : [client];
    return clients.flatMap((each) => {
      const left = (this.#knowing.get(each) ?? []).map(() => each);
      this.#knowing.delete(each);
      return left;
    });
  }

  #add(client: ClientIdentity, knowing: Knowing): void {
    const others = this.#knowing.get(client);
    if (others === undefined) this.#knowing.set(client, [knowing]);
    else others.push(knowing);
  }

  /** For a refused client: all modules up to the last one that was invoked. */
  #knowingAfter(invoked: number): Knowing {
    const { onClientConnect, onClientDisconnect } = this.#invoker.steps;
    const lastPlace = onClientConnect[invoked - 1]?.place ?? -1;
    return onClientDisconnect.filter(({ place }) => place <= lastPlace);
  }

  #notifyGone(client: ClientIdentity, knowing: Knowing): void {
    this.#notify('onClientDisconnect', client, knowing, ({ hooks }, call) =>
      hooks.onClientDisconnect?.(client, call),
    );
  }

  #notify(
    hook: 'onClientHandover' | 'onClientDisconnect',
    client: ClientIdentity,
    steps: readonly HookStep[],
    run: Run,
  ): void {
    const newCall = () => new Call(originOf(client));
    this.#invoker.notify(hook, client, { run, read: () => undefined, newCall }, steps);
  }
}
