/**
 * Values that modules of one chain provide to later ones. No value survives a reload.
 */

/** Identifies a provided value by its name, so that packages may have copies of the token. */
export interface Token<T> {
  readonly name: string;
  /** Never set: it carries the type. */
  readonly type?: T;
}

/**
 * Makes a token for a value that one module provides and others use.
 * @param name a unique name, such as `@acme/sync-hooks-roles`
 */
export function createToken<T>(name: string): Token<T> {
  if (typeof name !== 'string' || name.trim() === '') {
    throw new TypeError('createToken: a token needs a name');
  }
  return Object.freeze({ name });
}

/** The access of one module. */
export interface Providing {
  /** @throws Error after the module's setup, or if another module has provided it */
  provide<T>(token: Token<T>, value: T): void;
  /** @throws Error if no earlier module has provided it */
  use<T>(token: Token<T>): T;
  /** Ends the module's setup. */
  end(): void;
}

interface Provided {
  by: string;
  value: unknown;
}

export class ProvidedValues {
  readonly #byName = new Map<string, Provided>();

  /** The access of the next module, which sees values of earlier ones and its own. */
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
        // The token has the type, and the compiler has checked the provided value by it.
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
