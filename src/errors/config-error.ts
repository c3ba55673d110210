/** What is wrong with a configuration: everything at once, one line a fault. */

export interface ConfigFault {
  /** Who said it: `file /etc/sync.json`, `env SYNC_PORT`, `flag --port`, `override`. */
  source: string;
  /** The option's path, such as `limits.sessions`; empty for the file as a whole. */
  name: string;
  /** What it was, as text, masked where it is secret; `undefined` where the name itself is the fault. */
  value: string | undefined;
  /** What it may be; without a value, what is wrong. */
  expected: string;
}

/** A configuration that can't be used. Its message is for the one who wrote it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'CONFIG_INVALID';
  readonly faults: readonly ConfigFault[];

  constructor(faults: readonly ConfigFault[], options?: { cause?: unknown }) {
    super(faults.map(faultToText).join('\n'), options);
    this.faults = faults;
  }
}

function faultToText({ source, name, value, expected }: ConfigFault): string {
  if (value === undefined) {
    return [`${source}:`, name, expected].filter(Boolean).join(' ');
  }
  return `${source}: ${name} was ${value}, may be ${expected}`;
}
