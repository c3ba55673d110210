/**
 * Pins the log of each database after what the queue has taken up. A pin has the name of the queue,
 * so it is found again after a restart, and the webhooks of two servers have different pins.
 */

import { decodeHlc, encodeHlc, type HlcText } from '../../clock/hlc.ts';
import type { CoordinatorReader, LogPin } from '../reader.ts';

export interface WebhookPinEvents {
  /** The log of a database may have been compacted before it was taken up. */
  onLapsed(databaseId: string): void;
  /** The log has more to take up, perhaps from another server. */
  onBehind(databaseId: string): void;
}

export class WebhookPins {
  readonly #read: Pick<CoordinatorReader, 'pinLog'>;
  readonly #name: string;
  readonly #events: WebhookPinEvents;
  readonly #pins = new Map<string, Promise<LogPin>>();

  constructor(read: Pick<CoordinatorReader, 'pinLog'>, queueId: string, events: WebhookPinEvents) {
    this.#read = read;
    this.#name = `webhook:${queueId}`;
    this.#events = events;
  }

  /** Pins the log after what has been taken up, unless it is pinned. */
  async keep(databaseId: string, cursor: HlcText): Promise<void> {
    await (this.#pins.get(databaseId) ?? this.#pin(databaseId, cursor));
  }

  /** Pins the log at its end. @returns this position, after which the log is complete */
  async begin(databaseId: string): Promise<HlcText> {
    const { position } = await this.#pin(databaseId, undefined);
    return encodeHlc(position);
  }

  #pin(databaseId: string, cursor: HlcText | undefined): Promise<LogPin> {
    const pinning = this.#read.pinLog(databaseId, {
      name: this.#name,
      ...(cursor !== undefined && { position: decodeHlc(cursor) }),
      onLapsed: () => this.#events.onLapsed(databaseId),
      onBehind: () => this.#events.onBehind(databaseId),
    });
    this.#pins.set(databaseId, pinning);
    pinning.catch(() => this.#pins.delete(databaseId));
    return pinning;
  }

  /** Moves the pin: the queue has stored what was taken up. */
  async advance(databaseId: string, cursor: HlcText): Promise<void> {
    (await this.#pins.get(databaseId))?.advance(decodeHlc(cursor));
  }

  /** Removes the pin: the log of the database is not taken up any more. */
  async release(databaseId: string, cursor: HlcText): Promise<void> {
    await this.keep(databaseId, cursor);
    await (await this.#pins.get(databaseId))?.release();
    this.#pins.delete(databaseId);
  }

  /**
   * Stops renewing the pins. They stay until they lapse, for the next process that opens the queue.
   */
  async close(): Promise<void> {
    for (const pinning of await Promise.allSettled(this.#pins.values())) {
      if (pinning.status === 'fulfilled') pinning.value.close();
    }
  }
}
