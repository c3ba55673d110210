/**
 * Programs that run in processes of their own, so that neither the load nor a limit disturbs what
 * is measured beside it: `serveProgram` in the program, `startProgram` in the harness.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What a program can be asked to do; inputs and results go through JSON. */
export type Methods = Record<string, (input: never) => unknown>;

interface Call {
  id: number;
  method: string;
  input: never;
}

interface Answer {
  id: number;
  result?: unknown;
  error?: string;
}

export function serveProgram<M extends Methods>(methods: M): M {
  process.on('message', async ({ id, method, input }: Call) => {
    const answer: Answer = { id };
    try {
      answer.result = await methods[method]?.(input);
    } catch (error) {
      answer.error = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    process.send?.(answer);
  });
  // Whoever started it is gone.
  process.on('disconnect', () => process.exit());
  process.send?.({ id: 0 } satisfies Answer);
  return methods;
}

export interface Program<M extends Methods> {
  pid: number;
  call<Name extends keyof M & string>(
    method: Name,
    ...input: Parameters<M[Name]>
  ): Promise<Awaited<ReturnType<M[Name]>>>;
  stop(): Promise<void>;
}

/** @param path of the program, relative to `bench/` */
export async function startProgram<M extends Methods>(path: string): Promise<Program<M>> {
  const file = fileURLToPath(new URL(`../${path}`, import.meta.url));
  const child = fork(file, { execArgv: ['--import', 'tsx'] });
  const waiting = new Map<number, (answer: Answer) => void>();
  let calls = 0;
  child.on('message', (answer: Answer) => {
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  child.once('exit', (code) => {
    for (const [id, take] of waiting) take({ id, error: `${path} ended with ${code}` });
  });
  const answerTo = (id: number) =>
    new Promise<unknown>((resolve, reject) => {
      waiting.set(id, ({ result, error }) =>
        error === undefined ? resolve(result) : reject(new Error(`${path}: ${error}`)),
      );
    });
  await answerTo(0);
  return {
    pid: child.pid ?? 0,
    call(method, ...[input]) {
      const id = ++calls;
      const answer = answerTo(id);
      child.send({ id, method, input });
      // The one place where a program is trusted to give what its methods say.
      return answer as Promise<Awaited<ReturnType<M[typeof method]>>>;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    },
  };
}
