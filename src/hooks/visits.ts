/**
 * The clients that are connected, and which instances of modules know of each: those that were asked
 * whether it may stay, and those that took it over from instances that were replaced. An instance that
 * knows of a client is notified once when it has gone, and no other instance is.
 */

import type { WebSocket } from 'ws';
import { readPermission } from './answers.ts';
import { Call } from './call.ts';
import { originOf } from './call-origin.ts';
import type { HookStep, Invocation } from './hook-step.ts';
import type { HookName } from './kinds.ts';
import type { ClientIdentity } from './types.ts';

/** Steps of `onClientDisconnect`. */
type Knowing = readonly HookStep[];

type Run = Invocation<void>['run'];

/** What of the invoker is needed here. */
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
  /** An identity may be of several connections only where it is no server that authenticates them. */
  readonly #knowing = new Map<ClientIdentity, Knowing[]>();

  constructor(invoker: Invoker) {
    this.#invoker = invoker;
  }

  /** Rejects unless every module says `true`, and notifies those that were invoked that it has gone. */
  async connect(client: ClientIdentity, socket: WebSocket, signal?: AbortSignal): Promise<void> {
    let invoked = 0;
    const run: Run = (hooks, call) => {
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

  /** Of a client that is there already. A module that can't be notified of that never hears of it. */
  takeOver(client: ClientIdentity): void {
    const { steps } = this.#invoker;
    const knowing = steps.onClientDisconnect.filter(
      // Without either hook a module hears of goings only.
      ({ module: { hooks } }) =>
        hooks.onClientHandover !== undefined || hooks.onClientConnect === undefined,
    );
    this.#add(client, knowing);
    this.#notify('onClientHandover', client, steps.onClientHandover, (hooks, call) =>
      hooks.onClientHandover?.(client, call),
    );
  }

  /** Forgets all clients, or one of them: the instances of another generation know of them from now on. */
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

  /** Of a client that was refused: up to the last module that was invoked, also those that only hear of goings. */
  #knowingAfter(invoked: number): Knowing {
    const { onClientConnect, onClientDisconnect } = this.#invoker.steps;
    const lastPlace = onClientConnect[invoked - 1]?.place ?? -1;
    return onClientDisconnect.filter(({ place }) => place <= lastPlace);
  }

  #notifyGone(client: ClientIdentity, knowing: Knowing): void {
    this.#notify('onClientDisconnect', client, knowing, (hooks, call) =>
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
