/**
 * Keeps the log pins that this process owns, and renews them until their owners close them. What a
 * pin guarantees is in `engine/log/log-pins.ts`.
 */

import { compareHlc, decodeHlc, encodeHlc, type Hlc } from '../../clock/hlc.ts';
import type { LogPins } from '../../engine/log/log-pins.ts';
import { LOG_PIN_NAME } from '../../engine/records/record-schemas.ts';
import type { LogPin, LogPinOptions } from '../../hooks/reader.ts';
import type { Logger } from '../../logging/logger.ts';

/** How often pins are renewed within `maxAgeMs`, if the storage is shared. */
const RENEWALS_IN_LIFE = 4;
const nothing = () => undefined;
/** The longest delay of a timer. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** The part of a database that its pins need. */
interface PinnedDatabase {
  id: string;
  manager: { logPins: Pick<LogPins, 'pin' | 'release'> };
}

export interface LogPinKeeperOptions {
  acquire(databaseId: string): Promise<PinnedDatabase & { release(): void }>;
  /**
   * Whether other processes may shorten the log of a database that is not open here. If not, it is
   * enough to renew pins before maintenance.
   */
  isShared: boolean;
  maxAgeMs: number;
  logger: Logger;
}

export class LogPinKeeper {
  readonly #options: LogPinKeeperOptions;
  readonly #pinsByDatabase = new Map<string, Map<string, OwnedPin>>();
  readonly #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: LogPinKeeperOptions) {
    this.#options = options;
    if (!options.isShared) return;
    const intervalMs = Math.min(TIMER_MAX_MS, options.maxAgeMs / RENEWALS_IN_LIFE);
    this.#timer = setInterval(() => {
      this.#renewing ??= this.renewAll().finally(() => {
        this.#renewing = undefined;
      });
    }, intervalMs);
    this.#timer.unref();
  }

  /** Resolves when the pin is stored. */
  async pin(
    databaseId: string,
    { name, position, onLapsed = nothing, onBehind = nothing }: LogPinOptions,
  ): Promise<LogPin> {
    if (!LOG_PIN_NAME.test(name)) {
      throw new TypeError('the name of a log pin is 1 to 128 characters of A-Z a-z 0-9 _ : . -');
    }
    const lease = await this.#options.acquire(databaseId);
    try {
      const pinned = await lease.manager.logPins.pin(name, position && encodeHlc(position));
      const pin = new OwnedPin(decodeHlc(pinned.position), {
        onLapsed,
        onBehind,
        forget: (own) => this.#forget(databaseId, name, own),
        release: (own) => this.#release(databaseId, name, own),
      });
      const pins = this.#pinsByDatabase.get(databaseId) ?? new Map<string, OwnedPin>();
      this.#pinsByDatabase.set(databaseId, pins.set(name, pin));
      if (!pinned.isWhole) onLapsed();
      return pin;
    } finally {
      lease.release();
    }
  }

  /** Stores the present positions of a database's pins. */
  async renew({ id, manager }: PinnedDatabase): Promise<void> {
    for (const [name, pin] of this.#pinsByDatabase.get(id) ?? []) {
      const pinned = await manager.logPins.pin(name, encodeHlc(pin.position));
      // A pin that has replaced this one meanwhile has its own position.
      if (this.#pinsByDatabase.get(id)?.get(name) !== pin) continue;
      if (pinned.isBehind) pin.isBehind();
      if (pinned.isWhole) continue;
      this.#options.logger.error(
        'database %s: its log pin %s was not there any more; its log may have been shortened',
        id,
        name,
      );
      pin.lapsed(decodeHlc(pinned.position));
    }
  }

  /**
   * The server has written changes itself, which no hook is notified of: tells the owners of the
   * pins.
   */
  noteBehind(databaseId: string): void {
    for (const pin of this.#pinsByDatabase.get(databaseId)?.values() ?? []) pin.isBehind();
  }

  /** Renews the pins of all databases, one after the other. Opens each database. */
  async renewAll(): Promise<void> {
    const { acquire, logger } = this.#options;
    for (const databaseId of [...this.#pinsByDatabase.keys()]) {
      try {
        const lease = await acquire(databaseId);
        try {
          await this.renew(lease);
        } finally {
          lease.release();
        }
      } catch (error) {
        if (this.#isStopped) return;
        logger.error('database %s: its log pins cannot be renewed: %O', databaseId, error);
      }
    }
  }

  /** @returns whether `pin` was still the one with that name */
  #forget(databaseId: string, name: string, pin: OwnedPin): boolean {
    const pins = this.#pinsByDatabase.get(databaseId);
    if (pins?.get(name) !== pin) return false;
    pins.delete(name);
    if (pins.size === 0) this.#pinsByDatabase.delete(databaseId);
    return true;
  }

  async #release(databaseId: string, name: string, pin: OwnedPin): Promise<void> {
    if (!this.#forget(databaseId, name, pin)) return;
    const lease = await this.#options.acquire(databaseId);
    try {
      await lease.manager.logPins.release(name);
    } finally {
      lease.release();
    }
  }

  /** Stops renewing. The pins stay in the store. */
  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
    this.#pinsByDatabase.clear();
  }
}

interface PinOwner {
  onLapsed(): void;
  onBehind(): void;
  forget(pin: OwnedPin): void;
  release(pin: OwnedPin): Promise<void>;
}

class OwnedPin implements LogPin {
  #position: Hlc;
  readonly #owner: PinOwner;

  constructor(position: Hlc, owner: PinOwner) {
    this.#position = position;
    this.#owner = owner;
  }

  get position(): Hlc {
    return this.#position;
  }

  advance(position: Hlc): void {
    if (compareHlc(encodeHlc(position), encodeHlc(this.#position)) > 0) this.#position = position;
  }

  lapsed(position: Hlc): void {
    this.#position = position;
    this.#owner.onLapsed();
  }

  isBehind(): void {
    this.#owner.onBehind();
  }

  close(): void {
    this.#owner.forget(this);
  }

  release(): Promise<void> {
    return this.#owner.release(this);
  }
}
