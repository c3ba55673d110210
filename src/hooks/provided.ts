/**
 * What modules of one chain provide to those that come after them in its order. Nothing passes from
 * one reload to the next.
 */

/** What a value is asked for by. Two of the same name are one, so that a package may bring its own copy. */
export interface Token<T> {
  readonly name: string;
  /** Never there: it holds the type. */
  readonly type?: T;
}

/**
 * A name for what one module provides and others use.
 * @param name such as `@acme/sync-hooks-roles`, that nobody else would choose
 */
export function createToken<T>(name: string): Token<T> {
  if (typeof name !== 'string' || name.trim() === '') {
    throw new TypeError('createToken: a token needs a name');
  }
  return Object.freeze({ name });
}

/** One module's part in it. */
export interface Providing {
  /** @throws Error when it is not during its setup, or another module has provided it */
  provide<T>(token: Token<T>, value: T): void;
  /** @throws Error when no module before it has provided that */
  use<T>(token: Token<T>): T;
  /** Its setup is over. */
  end(): void;
}

interface Provided {
  by: string;
  value: unknown;
}

export class ProvidedValues {
  readonly #byName = new Map<string, Provided>();

  /** For the next module. It sees what there is by now, and what it provides itself. */
  next(module: string): Providing {
    const seen = new Map(this.#byName);
    let isOver = false;
    return {
      provide: (token, value) => {
        const { name } = token;
        const other = this.#byName.get(name);
        if (isOver) throw new Error(`${name} can only be provided during setup`);
        if (other !== undefined) throw new Error(`${name} is provided by ${other.by} already`);
        const provided = { by: module, value };
        this.#byName.set(name, provided);
        seen.set(name, provided);
      },
      use: <T>({ name }: Token<T>): T => {
        const provided = seen.get(name);
        if (provided === undefined) throw new Error(this.#whyMissing(name));
        // The token says so; what is provided is checked against it by the compiler.
        return provided.value as T;
      },
      end: () => {
        isOver = true;
      },
    };
  }

  #whyMissing(name: string): string {
    const later = this.#byName.get(name);
    const hint = later === undefined ? 'a module that provides it' : later.by;
    return `no module before this one provides ${name}: list ${hint} before it`;
  }
}
