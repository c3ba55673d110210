/**
 * Logins that were accepted: hashed credentials, each with its source. One user has any number, since
 * what else a request carries may count as part of them (cookies): so each user has a share, and
 * where there are too many in all the one with the most gives way.
 */

const PER_USER_MAX = 100;

export class LetIn {
  readonly #max: number;
  readonly #userByLogin = new Map<string, string>();
  /** The latest are last. Has no empty sets. */
  readonly #byUser = new Map<string, Set<string>>();

  constructor(max: number) {
    this.#max = max;
  }

  has(login: string): boolean {
    return this.#userByLogin.has(login);
  }

  add(login: string, user: string): void {
    this.delete(login);
    this.#userByLogin.set(login, user);
    const own = this.#byUser.get(user) ?? new Set();
    this.#byUser.set(user, own.add(login));
    if (own.size > PER_USER_MAX) this.#deleteOldest(own);
    else if (this.#userByLogin.size > this.#max) this.#deleteOldest(this.#most(own));
  }

  delete(login: string): void {
    const user = this.#userByLogin.get(login);
    if (user === undefined) return;
    this.#userByLogin.delete(login);
    const own = this.#byUser.get(user);
    own?.delete(login);
    if (own?.size === 0) this.#byUser.delete(user);
  }

  #deleteOldest(logins: ReadonlySet<string>): void {
    const [oldest] = logins;
    if (oldest !== undefined) this.delete(oldest);
  }

  #most(own: ReadonlySet<string>): ReadonlySet<string> {
    let most = own;
    for (const other of this.#byUser.values()) if (other.size > most.size) most = other;
    return most;
  }
}
