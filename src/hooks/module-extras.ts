/** What a hook module adds to the server beside its hooks: routes, status lines, work at the start. */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HookLoadError, messageOf } from './load-error.ts';
import type { ClientIdentity, MaybePromise } from './types.ts';

export interface RouteTools {
  /** Who asks, as `onAuthenticate` has found out. Throws where the routes are open. */
  clientOf(request: FastifyRequest): ClientIdentity;
}

/** Adds routes to a Fastify instance; their paths are relative to the module's own. */
export type RegisterRoutes = (app: FastifyInstance, tools: RouteTools) => MaybePromise<void>;

export interface RoutesOptions {
  /**
   * Nobody is asked who it is: for routes that see to that themselves. Default: only those are let in
   * whom `onAuthenticate` accepts, with the headers of every sync request, for the database that
   * `?databaseId=` names.
   */
  open?: boolean;
}

export interface RoutesOfModule {
  register: RegisterRoutes;
  isOpen: boolean;
}

/** Figures and words for `GET /status`. */
export type StatusLines = Readonly<Record<string, string | number | boolean | null>>;

/** What routes have become. */
export interface ServedRoutes {
  /** The part of the path that stands for the module. */
  path: string;
  handle(request: FastifyRequest['raw'], response: import('node:http').ServerResponse): void;
  close(): Promise<void>;
}

/** Makes the routes of one module ready. Rejects if they are wrong. */
export type ServeRoutes = (
  path: string,
  routes: readonly RoutesOfModule[],
) => Promise<ServedRoutes>;

/** Of one module, as its setup leaves it. */
export class ModuleExtras {
  readonly #name: string;
  readonly #routes: RoutesOfModule[] = [];
  readonly #works: (() => MaybePromise<void>)[] = [];
  #status: (() => StatusLines) | undefined;
  #isSetUp = false;

  constructor(name: string) {
    this.#name = name;
  }

  addRoutes(register: RegisterRoutes, { open = false }: RoutesOptions = {}): void {
    this.#demandSetup('routes');
    this.#routes.push({ register, isOpen: open });
  }

  setStatus(lines: () => StatusLines): void {
    this.#demandSetup('status lines');
    this.#status = lines;
  }

  addWork(work: () => MaybePromise<void>): void {
    this.#demandSetup('work for when the server is ready');
    this.#works.push(work);
  }

  #demandSetup(what: string): void {
    if (this.#isSetUp) throw new Error(`${this.#name}: ${what} can be given during setup only`);
  }

  get isEmpty(): boolean {
    return this.#routes.length + this.#works.length === 0 && this.#status === undefined;
  }

  /** The setup is over. */
  async finish(serve: ServeRoutes): Promise<ServedRoutes | undefined> {
    this.#isSetUp = true;
    if (this.#routes.length === 0) return undefined;
    return serve(toPath(this.#name), this.#routes);
  }

  get statusLines(): StatusLines | undefined {
    return this.#status?.();
  }

  /** @throws HookLoadError */
  async ready(): Promise<void> {
    for (const work of this.#works) {
      try {
        await work();
      } catch (error) {
        throw new HookLoadError(this.#name, `its onReady failed: ${messageOf(error)}`, error);
      }
    }
  }
}

/** As it stands in a path: `@acme/sync-hooks-online` is `acme-sync-hooks-online`. */
function toPath(name: string): string {
  const words = name.toLowerCase().split(/[^a-z0-9_]+/);
  return words.filter((word) => word !== '').join('-');
}
