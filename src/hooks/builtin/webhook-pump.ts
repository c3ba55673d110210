/**
 * Takes up new transactions of the logs as events, and delivers these one after the other.
 *
 * The log is the only source of events: `kick` only says that there is more of it. So after a kill
 * the cursor finds all that was committed, and while the queue is full the rest waits in the log.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeHlc, encodeHlc, type HlcText } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import { type ChangeSet, encodeChangeSet } from '../../protocol/types.ts';
import type { HookContext } from '../context.ts';
import { DeliveryError, deliver, type Endpoint } from './webhook-delivery.ts';
import { WebhookPins } from './webhook-pins.ts';
import type { QueuedEvent, WebhookQueue } from './webhook-queue.ts';

export interface PumpOptions extends Endpoint {
  queueMax: number;
  backoffMinMs: number;
  backoffMaxMs: number;
  /** The part of a change set that is sent; `undefined` for none. */
  select(changeSet: ChangeSet): ChangeSet | undefined;
  /** The user that sent a transaction, if that is known. */
  userOf(databaseId: string, changeSet: ChangeSet): string | undefined;
}

/** An event is complete when it has so much. */
const EVENT_CHANGE_SETS_MAX = 100;
const EVENT_CHANGES_MAX = 1000;

export class WebhookPump {
  readonly #queue: WebhookQueue;
  readonly #pins: WebhookPins;
  readonly #context: HookContext;
  readonly #options: PumpOptions;
  readonly #metrics: ReturnType<typeof createPumpMetrics>;
  /** Databases with more to take up. */
  readonly #waiting = new Set<string>();
  #takingUp: Promise<void> | undefined;
  #delivering: Promise<void> | undefined;

  constructor(queue: WebhookQueue, context: HookContext, options: PumpOptions) {
    this.#queue = queue;
    this.#context = context;
    this.#options = options;
    this.#metrics = createPumpMetrics(context);
    this.#metrics.queued.set(queue.length);
    this.#pins = new WebhookPins(context.read, queue.id, {
      onLapsed: (databaseId) => {
        context.logger.error(
          'database %s: its log may have been compacted before it was taken up; some events may be lost',
          databaseId,
        );
        this.#metrics.gaps.inc();
      },
      onBehind: (databaseId) => this.kick(databaseId),
    });
  }

  /** Once this resolves, all later transactions of a database will be taken up. */
  async register(databaseId: string): Promise<void> {
    const cursor = await this.#queue.cursor(databaseId);
    if (cursor !== undefined) await this.#pins.keep(databaseId, cursor);
    else await this.#begin(databaseId);
  }

  async #begin(databaseId: string): Promise<void> {
    await this.#queue.advance(databaseId, await this.#pins.begin(databaseId));
  }

  /** Stops taking up the log of a database. */
  async forget(databaseId: string): Promise<void> {
    const cursor = await this.#queue.cursor(databaseId);
    if (cursor !== undefined) await this.#pins.release(databaseId, cursor);
    await this.#queue.forget(databaseId);
  }

  /** There is more in the log of a database, or may be. */
  kick(databaseId: string): void {
    this.#waiting.add(databaseId);
    this.#run();
  }

  get #isFull(): boolean {
    return this.#queue.length >= this.#options.queueMax;
  }

  #run(): void {
    const { signal } = this.#context;
    if (signal.aborted) return;
    if (this.#waiting.size > 0 && !this.#isFull) {
      this.#takingUp ??= this.#takeUp().finally(() => {
        this.#takingUp = undefined;
        this.#run();
      });
    }
    if (this.#queue.length > 0) {
      this.#delivering ??= this.#deliverAll().finally(() => {
        this.#delivering = undefined;
        this.#run();
      });
    }
  }

  /** Takes up one log after the other, each to its end, until the queue is full. */
  async #takeUp(): Promise<void> {
    const { signal, logger } = this.#context;
    for (const databaseId of this.#waiting) {
      if (this.#isFull) return;
      this.#waiting.delete(databaseId);
      try {
        if (await this.#takeUpOne(databaseId)) continue;
        this.#waiting.add(databaseId);
        return;
      } catch (error) {
        this.#metrics.failed.inc();
        logger.error('the log of database %s cannot be taken up: %O', databaseId, error);
        await sleep(this.#options.backoffMinMs, undefined, { signal }).catch(() => undefined);
        this.#waiting.add(databaseId);
        if (signal.aborted) return;
      }
    }
  }

  /** @returns whether the log was taken up to its end */
  async #takeUpOne(databaseId: string): Promise<boolean> {
    const { read, logger, signal } = this.#context;
    await this.register(databaseId);
    const cursor = await this.#queue.cursor(databaseId);
    const since = cursor === undefined ? undefined : decodeHlc(cursor);
    try {
      const gathered = new Gathered();
      for await (const changeSet of read.changes(databaseId, since)) {
        gathered.add(changeSet, this.#options.select(changeSet));
        if (!gathered.isFull) continue;
        await this.#enqueue(databaseId, gathered);
        if (signal.aborted || this.#isFull) return false;
      }
      await this.#enqueue(databaseId, gathered);
    } catch (error) {
      if (!(error instanceof SyncError) || error.code !== 'SNAPSHOT_REQUIRED') throw error;
      logger.error(
        'database %s: the log was cut before it was taken up; some events are lost',
        databaseId,
      );
      this.#metrics.gaps.inc();
      await this.#begin(databaseId);
    }
    return true;
  }

  async #enqueue(databaseId: string, gathered: Gathered): Promise<void> {
    const { changeSets, end } = gathered.take();
    if (end === undefined) return;
    if (changeSets.length === 0) return this.#advance(databaseId, end);
    const id = `msg_${randomUUID()}`;
    const transactions = changeSets.map((changeSet) => {
      const { hlc, ...transaction } = encodeChangeSet(changeSet);
      return { userId: this.#options.userOf(databaseId, changeSet), position: hlc, ...transaction };
    });
    const time = new Date().toISOString();
    const body = JSON.stringify({ type: 'changes.applied', id, time, databaseId, transactions });
    await this.#advance(databaseId, end, { id, body });
    this.#metrics.queued.set(this.#queue.length);
    this.#run();
  }

  /**
   * Stores the event before it moves the pin: the log may be compacted only up to what the queue
   * has stored.
   */
  async #advance(databaseId: string, end: HlcText, event?: QueuedEvent): Promise<void> {
    await this.#queue.advance(databaseId, end, event);
    await this.#pins.advance(databaseId, end);
  }

  async #deliverAll(): Promise<void> {
    const { signal, logger } = this.#context;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (!(await this.#deliverFirst())) return;
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#metrics.failed.inc();
        const waitMs = this.#backoffMs(failures++, error);
        logger.warn('no delivery (%s); again in %d ms', reasonOf(error), waitMs);
        await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** @returns whether there was anything to deliver */
  async #deliverFirst(): Promise<boolean> {
    const event = await this.#queue.first();
    if (event === undefined) return false;
    await deliver(this.#options, event, this.#context.signal);
    // If this fails the event is sent again, with the same id.
    await this.#queue.remove(event);
    this.#metrics.delivered.inc();
    this.#metrics.queued.set(this.#queue.length);
    this.#run();
    return true;
  }

  /**
   * Doubles with every failure. Half of it is random, so that many servers do not retry at once.
   */
  #backoffMs(failures: number, error: unknown): number {
    const { backoffMinMs, backoffMaxMs } = this.#options;
    const asked = error instanceof DeliveryError ? (error.retryAfterMs ?? 0) : 0;
    const most = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(failures, 30));
    const wait = most / 2 + (Math.random() * most) / 2;
    return Math.round(Math.min(backoffMaxMs, Math.max(asked, wait)));
  }

  /** Waits for current work. Events that are not delivered stay in the queue. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#takingUp, this.#delivering]);
    await this.#pins.close();
  }
}

/** Gathers the change sets of one event, and the position of the last one. */
class Gathered {
  #changeSets: ChangeSet[] = [];
  #changes = 0;
  #end: HlcText | undefined;

  add({ hlc }: ChangeSet, selected: ChangeSet | undefined): void {
    this.#end = encodeHlc(hlc);
    if (selected === undefined) return;
    this.#changeSets.push(selected);
    this.#changes += selected.changes.length;
  }

  get isFull(): boolean {
    return this.#changeSets.length >= EVENT_CHANGE_SETS_MAX || this.#changes >= EVENT_CHANGES_MAX;
  }

  take(): { changeSets: ChangeSet[]; end: HlcText | undefined } {
    const taken = { changeSets: this.#changeSets, end: this.#end };
    [this.#changeSets, this.#changes, this.#end] = [[], 0, undefined];
    return taken;
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return [error.message, error.cause].filter(Boolean).join(': ');
}

function createPumpMetrics({ metrics }: HookContext) {
  return {
    delivered: metrics.counter('delivered_total', 'Events that the endpoint has taken.'),
    failed: metrics.counter('failures_total', 'Attempts that failed.'),
    gaps: metrics.counter(
      'gaps_total',
      'Times that a log was cut, or may have been, before it was taken up.',
    ),
    queued: metrics.gauge('queue_length_events', 'Events that wait to be delivered.'),
  };
}
