/**
 * The clients that are connected, and which instances of modules know of each: those that were asked
 * whether it may stay, and those that took it over from instances that were replaced. Whoever knows
 * of a client is told once when it has gone, and nobody else is.
 */

import type { AskedModule } from './asker.ts';
import type { ClientIdentity } from './types.ts';

type Knowing = readonly AskedModule[];

export class Visits {
  /** An identity may be of several connections only where it is no server that authenticates them. */
  readonly #knowing = new Map<ClientIdentity, Knowing[]>();

  begin(client: ClientIdentity, knowing: Knowing): void {
    const others = this.#knowing.get(client);
    if (others === undefined) this.#knowing.set(client, [knowing]);
    else others.push(knowing);
  }

  /** @returns who is to be told that it has gone */
  end(client: ClientIdentity): Knowing {
    const all = this.#knowing.get(client);
    const knowing = all?.pop() ?? [];
    if (all?.length === 0) this.#knowing.delete(client);
    return knowing;
  }

  /** Ends all, or those of one client: others know of them from now on. */
  leave(client?: ClientIdentity): ClientIdentity[] {
    const clients = client === undefined ? [...this.#knowing.keys()] : [client];
    return clients.flatMap((each) => {
      const left = (this.#knowing.get(each) ?? []).map(() => each);
      this.#knowing.delete(each);
      return left;
    });
  }
}
