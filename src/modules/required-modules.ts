/**
 * Which CommonJS modules of the process came with what was imported here, so that these, and no
 * others, are read anew after a reload. All share one cache, with whatever the embedding app has
 * required: a module that the app stands on too stays the one that it has.
 */

type Cache = NodeJS.Dict<NodeJS.Module>;

export class RequiredModules {
  readonly #cache: Cache;
  readonly #isOwn: (path: string) => boolean;
  /** What was there before anything was imported is of others. */
  #known: ReadonlySet<string> | undefined;
  readonly #paths = new Set<string>();

  /** @param isOwn files of this package, which are never read again */
  constructor(cache: Cache, isOwn: (path: string) => boolean) {
    this.#cache = cache;
    this.#isOwn = isOwn;
  }

  /**
   * What comes into the cache meanwhile is taken for required by it.
   * @param load begins it: in a newer Node.js much of it has happened when that returns
   */
  async during<T>(load: () => Promise<T>): Promise<T> {
    const before = new Set(Object.keys(this.#cache));
    this.#known ??= before;
    try {
      return await load();
    } finally {
      for (const path of Object.keys(this.#cache)) {
        if (!before.has(path) && !this.#isOwn(path)) this.#paths.add(path);
      }
    }
  }

  /** Takes out of the cache what nobody else has required. */
  forget(): void {
    const came = this.#all();
    const others = Object.values(this.#cache).filter((module) => !came.has(module));
    const held = reach(others);
    for (const [path, module] of Object.entries(this.#cache)) {
      if (module !== undefined && came.has(module) && !held.has(module)) delete this.#cache[path];
    }
    this.#paths.clear();
    this.#known = undefined;
  }

  /** Also what they have required since, when they were called. */
  #all(): Set<NodeJS.Module | undefined> {
    const known = [...(this.#known ?? [])].map((path) => this.#cache[path]);
    const isTheirs = new Set(known);
    const came = [...this.#paths].map((path) => this.#cache[path]);
    return reach(came, (module) => !isTheirs.has(module) && !this.#isOwn(module.filename));
  }
}

/** The modules, and all that they have required. */
function reach(
  from: readonly (NodeJS.Module | undefined)[],
  isIn: (module: NodeJS.Module) => boolean = () => true,
): Set<NodeJS.Module | undefined> {
  const reached = new Set<NodeJS.Module | undefined>();
  const waiting = [...from];
  for (
    let module = waiting.pop();
    waiting.length > 0 || module !== undefined;
    module = waiting.pop()
  ) {
    if (module === undefined || reached.has(module) || !isIn(module)) continue;
    reached.add(module);
    waiting.push(...module.children);
  }
  return reached;
}
