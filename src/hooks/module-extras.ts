/** What a hook module adds to the server besides hooks: routes, status lines, work at the start. */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HookLoadError, messageOf } from './load-error.ts';
import type { ClientIdentity, MaybePromise } from './types.ts';

export interface RouteTools {
  /** The client that `onAuthenticate` has accepted. Throws for open routes. */
  clientOf(request: FastifyRequest): ClientIdentity;
}

/** Adds routes to a Fastify instance; their paths are relative to the module's own. */
export type RegisterRoutes = (app: FastifyInstance, tools: RouteTools) => MaybePromise<void>;

export interface RoutesOptions {
  /**
   * Lets in every client without authentication, for routes that authenticate by themselves.
   * Default: lets in clients that `onAuthenticate` accepts, with the headers of every sync request,
   * for the database of `?databaseId=`.
   */
  open?: boolean;
}

export interface RoutesOfModule {
  register: RegisterRoutes;
  isOpen: boolean;
}

/** Lines for `GET /status`. */
export type StatusLines = Readonly<Record<string, string | number | boolean | null>>;

/** The prepared routes of a module. */
export interface ServedRoutes {
  /** The module's part of the path. */
  path: string;
  handle(request: FastifyRequest['raw'], response: import('node:http').ServerResponse): void;
  close(): Promise<void>;
}

/** Prepares the routes of one module. Rejects if they are wrong. */
export type ServeRoutes = (
  path: string,
  routes: readonly RoutesOfModule[],
) => Promise<ServedRoutes>;

/** What one module has added during its setup. */
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

  /** Ends the setup. */
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

/** The name for a path: `@acme/sync-hooks-online` becomes `acme-sync-hooks-online`. */
function toPath(name: string): string {
  const words = name.toLowerCase().split(/[^a-z0-9_]+/);
  return words.filter((word) => word !== '').join('-');
}
