/**
 * Logins that were accepted: hashed credentials, each with its source. One client has any number, since
 * what else a request carries may count as part of them (cookies): so each holder has a share, and
 * where there are too many in all the one with the most gives way.
 */

const PER_HOLDER_MAX = 100;

export class LetIn {
  readonly #max: number;
  readonly #holderByLogin = new Map<string, string>();
  /** The latest are last. Has no empty sets. */
  readonly #byHolder = new Map<string, Set<string>>();

  constructor(max: number) {
    this.#max = max;
  }

  has(login: string): boolean {
    return this.#holderByLogin.has(login);
  }

  /** @param holder see `holderOf` in `login-throttle.ts` */
  add(login: string, holder: string): void {
    this.delete(login);
    this.#holderByLogin.set(login, holder);
    const own = this.#byHolder.get(holder) ?? new Set();
    this.#byHolder.set(holder, own.add(login));
    if (own.size > PER_HOLDER_MAX) this.#deleteOldest(own);
    else if (this.#holderByLogin.size > this.#max) this.#deleteOldest(this.#most(own));
  }

  delete(login: string): void {
    const holder = this.#holderByLogin.get(login);
    if (holder === undefined) return;
    this.#holderByLogin.delete(login);
    const own = this.#byHolder.get(holder);
    own?.delete(login);
    if (own?.size === 0) this.#byHolder.delete(holder);
  }

  #deleteOldest(logins: Iterable<string>): void {
    const [oldest] = logins;
    if (oldest !== undefined) this.delete(oldest);
  }

  /** Where each has one, the oldest of all gives way. */
  #most(own: ReadonlySet<string>): Iterable<string> {
    let most = own;
    for (const other of this.#byHolder.values()) if (other.size > most.size) most = other;
    return most.size > 1 ? most : this.#holderByLogin.keys();
  }
}
