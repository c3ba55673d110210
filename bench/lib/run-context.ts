/** What all figures of one run share: its size, its directory, and what has to be stopped at its end. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Methods, type Program, startProgram } from './program.ts';
import { type ServerOptions, type ServerProcess, startServerProcess } from './server-process.ts';

export class RunContext {
  /** 1 for the whole size. */
  readonly scale: number;
  /** Where servers leave CPU profiles, if they are to. */
  readonly profileDirectory: string | undefined;
  readonly directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-bench-'));
  #stops: (() => Promise<void>)[] = [];
  #directories = 0;
  readonly #shared = new Map<string, Promise<unknown>>();

  constructor(scale: number, profileDirectory: string | undefined) {
    this.scale = scale;
    this.profileDirectory = profileDirectory;
  }

  /** So many, scaled; at least `least`. */
  count(full: number, least = 1): number {
    return Math.max(least, Math.round(full * this.scale));
  }

  newDirectory(): string {
    return join(this.directory, `${++this.#directories}`);
  }

  /** Made once a run, by whichever figure asks first. */
  shared<T>(key: string, make: () => Promise<T>): Promise<T> {
    const made = (this.#shared.get(key) as Promise<T> | undefined) ?? make();
    this.#shared.set(key, made);
    return made;
  }

  /** What else has to be stopped then. */
  onStop(stop: () => Promise<void>): void {
    this.#stops.push(stop);
  }

  /** A server on an empty store, unless `dataDir` names one. */
  async server(options: ServerOptions = {}): Promise<ServerProcess> {
    const { profileDirectory } = this;
    const dataDir = this.newDirectory();
    const server = await startServerProcess({ dataDir, profileDirectory, ...options });
    this.#stops.push(() => server.stop());
    return server;
  }

  async program<M extends Methods>(path: string): Promise<Program<M>> {
    const program = await startProgram<M>(path);
    this.#stops.push(() => program.stop());
    return program;
  }

  /** Between figures: stops what the last one started. */
  async stopAll(): Promise<void> {
    const stops = this.#stops.reverse();
    this.#stops = [];
    for (const stop of stops) await stop();
  }

  async end(): Promise<void> {
    await this.stopAll();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
