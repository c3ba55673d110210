/** Hooks that can't be loaded: the server does not start, or a reload fails. */
export class HookLoadError extends Error {
  override readonly name = 'HookLoadError';
  /** The module's name in the config; `undefined` if the fault is that a module is missing. */
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
