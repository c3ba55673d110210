/** Programs of the system that a browser consists of, each with all that it starts. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';

/** @throws Error that says how to get it */
export function mustBeInstalled(path: string, packages: string): string {
  if (!existsSync(path)) {
    throw new Error(`there is no ${path}: install it (on Debian: apt-get install ${packages})`);
  }
  return path;
}

export interface Program {
  readonly process: ChildProcess;
  /** What it wrote to its error output, for who wonders why it ended. */
  output(): string;
  /** Resolves when it has ended. */
  kill(): Promise<void>;
}

export function startProgram(path: string, args: string[], env: NodeJS.ProcessEnv = {}): Program {
  const child = spawn(path, args, {
    // A group of its own, so that what it starts ends with it.
    detached: true,
    env: { ...process.env, NODE_OPTIONS: undefined, DBUS_SESSION_BUS_ADDRESS: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const read = (data: Buffer) => {
    output += data;
  };
  child.stdout?.on('data', read);
  child.stderr?.on('data', read);
  const kill = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended, and all that it started.
    }
  };
  process.once('exit', kill);
  const ended = once(child, 'exit');
  return {
    process: child,
    output: () => output,
    async kill() {
      process.off('exit', kill);
      kill();
      await ended;
    },
  };
}

/** Asks until there is an answer that is not `undefined`, while the program runs. */
export async function untilThere<Result>(
  { process: child, output }: Program,
  ask: () => Promise<Result | undefined> | Result | undefined,
): Promise<Result> {
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${child.spawnfile} ended with ${child.exitCode}: ${output()}`);
    }
    const result = await ask();
    if (result !== undefined) return result;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
