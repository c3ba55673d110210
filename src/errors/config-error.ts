/** The error of an invalid configuration: it has all faults at once, one line each. */

export interface ConfigFault {
  /**
   * Where the value comes from: `file /etc/sync.json`, `env SYNC_PORT`, `flag --port`, `override`.
   */
  source: string;
  /** The option's path, such as `limits.sessions`; empty for the file as a whole. */
  name: string;
  /** The value as text, masked if it is secret; `undefined` if the name itself is the fault. */
  value: string | undefined;
  /** The allowed values; without a value: what is wrong. */
  expected: string;
}

/** An invalid configuration. The message is for the operator. */
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
