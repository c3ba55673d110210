/** Hooks that can't be used: the server does not start. */
export class HookLoadError extends Error {
  override readonly name = 'HookLoadError';
  /** The module as the config names it; `undefined` if the fault is that there is none. */
  readonly module: string | undefined;

  constructor(module: string | undefined, reason: string, cause?: unknown) {
    const subject = module === undefined ? 'hooks' : `hook module ${module}`;
    super(`${subject}: ${reason}`, cause === undefined ? undefined : { cause });
    this.module = module;
  }
}

/** The message of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
