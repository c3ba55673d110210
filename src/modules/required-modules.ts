/**
 * Which CommonJS modules of the process came with what was imported here, so that these, and no
 * others, are read anew after a reload. All share one cache, with whatever the embedding app has
 * required: a module that the app stands on too stays the one that it has.
 */

type Cache = NodeJS.Dict<NodeJS.Module>;
type Modules = Set<NodeJS.Module | undefined>;

export class RequiredModules {
  readonly #cache: Cache;
  readonly #isOwn: (path: string) => boolean;
  /** What was there before anything was imported is of others. */
  #known: ReadonlySet<string> | undefined;
  readonly #paths: Set<string>;
  /** What was last loaded apart: it may require more when it is called. */
  #apart: readonly (NodeJS.Module | undefined)[] = [];

  /**
   * @param isOwn files of this package and of its loader, which are never read again
   * @param paths what came with what was imported: others may note more there
   */
  constructor(cache: Cache, isOwn: (path: string) => boolean, paths: Set<string>) {
    this.#cache = cache;
    this.#paths = paths;
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
      for (const path of this.#since(before)) this.#paths.add(path);
    }
  }

  /**
   * Loads something at once, and all that it requires, as it is on the disk, whatever was imported before. None
   * of it stays in the cache.
   */
  apart<T>(load: () => T): T {
    const came = this.#all();
    const hidden = this.#remove(new Set([...came, ...reach(this.#apart, this.#mayGo)]));
    const before = new Set(Object.keys(this.#cache));
    try {
      return load();
    } finally {
      const loaded = this.#since(before);
      this.#apart = loaded.map((path) => this.#cache[path]);
      for (const path of loaded) delete this.#cache[path];
      for (const [path, module] of hidden) if (came.has(module)) this.#cache[path] = module;
    }
  }

  /** Removes from the cache what no other module has required. */
  forget(): void {
    this.#remove(this.#all());
    this.#paths.clear();
    this.#known = undefined;
  }

  readonly #mayGo = (module: NodeJS.Module) => !this.#isOwn(module.filename);

  #since(before: ReadonlySet<string>): string[] {
    return Object.keys(this.#cache).filter((path) => !before.has(path) && !this.#isOwn(path));
  }

  /** @returns those that no other module requires, by their path */
  #remove(modules: Modules): [string, NodeJS.Module][] {
    const others = Object.values(this.#cache).filter(
      (module) => module !== undefined && !modules.has(module) && this.#mayGo(module),
    );
    const held = reach(others);
    const removed: [string, NodeJS.Module][] = [];
    for (const [path, module] of Object.entries(this.#cache)) {
      if (module === undefined || !modules.has(module) || held.has(module)) continue;
      removed.push([path, module]);
      delete this.#cache[path];
    }
    return removed;
  }

  /** Also what they have required since, when they were called. */
  #all(): Modules {
    const known = [...(this.#known ?? [])].map((path) => this.#cache[path]);
    const isTheirs = new Set(known);
    const came = [...this.#paths].map((path) => this.#cache[path]);
    return reach(came, (module) => !isTheirs.has(module) && this.#mayGo(module));
  }
}

/** The modules, and all that they have required. */
function reach(
  from: readonly (NodeJS.Module | undefined)[],
  isIn: (module: NodeJS.Module) => boolean = () => true,
): Modules {
  const reached: Modules = new Set();
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
