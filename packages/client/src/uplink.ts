/**
 * What a client that leads has to the server: the connection, what sends the writes, and what takes in
 * what comes. Here it is carried out on the replica what the answers to its writes mean.
 */

import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import { BatchAnswer } from './answers.ts';
import { later, type SiteClock } from './clock.ts';
import { Connection } from './connection/connection.ts';
import type { Token } from './connection/credentials.ts';
import type { ServerError } from './connection/server-error.ts';
import { watchPage } from './connection/wake-ups.ts';
import type { Environment, Transport } from './environment.ts';
import { Inbox, type InboxPort, startingOver } from './inbox.ts';
import { Outbox, type OutboxPort, type Outgoing } from './outbox.ts';
import type { ApplyResult } from './protocol/messages.ts';
import { entryOf, FATE, META, type Meta, OUT, type StoredOutcome } from './replica/entries.ts';
import type { KeptReplica } from './replica/kept-replica.ts';
import type { Replica } from './replica/replica.ts';
import { RowChanges } from './replica/row-changes.ts';
import { winnerOver } from './replica/rows.ts';
import type { StoreOperation } from './stores/store.ts';
import { dated } from './transaction.ts';
import type { Fate } from './write.ts';

export interface UplinkOptions {
  url: string;
  databaseId: string | undefined;
  transport: Transport | undefined;
  token: Token | undefined;
}

export interface UplinkPort {
  /** The state of the connection, why it is not live, or what the clock is wrong by is another. */
  statusChanged(): void;
  /** It is durable what became of a write. */
  settle(transactionId: string, fate: Fate): void;
}

/** Far below what a server lets pass (`sync.maxClockDriftMs`, a minute unless set). */
const CLOCK_WRONG_MS = 10_000;

export class Uplink implements InboxPort, OutboxPort {
  readonly connection: Connection;
  readonly #kept: KeptReplica;
  readonly #replica: Replica;
  readonly #clock: SiteClock;
  readonly #environment: Environment;
  readonly #port: UplinkPort;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  /** What had come when the batch under way was sent. */
  #sentAt: { ddlHeard: number; position: HlcText | undefined } | undefined;
  readonly #unwatch: () => void;

  constructor(
    kept: KeptReplica,
    clock: SiteClock,
    environment: Environment,
    options: UplinkOptions,
    port: UplinkPort,
  ) {
    this.#kept = kept;
    this.#replica = kept.replica;
    this.#clock = clock;
    this.#environment = environment;
    this.#port = port;
    const { siteId } = this.#replica.meta;
    this.#inbox = new Inbox(this.#replica, clock, this);
    this.connection = new Connection({ ...options, siteId }, this.#inbox, environment);
    this.#outbox = new Outbox(this.connection, this, environment);
    this.connection.onServerTime = (serverTimeMs) => {
      // Else the server would refuse what is written from now on, or older edits would beat it. What
      // waits already may have been stored: it keeps its dates unless the server refuses them.
      if (Math.abs(clock.now() - serverTimeMs) < CLOCK_WRONG_MS) return;
      clock.correct(serverTimeMs);
      kept.observe();
    };
    const mayLetGo = () => this.#replica.outbox.size === 0 && (kept.tabs?.isAlone ?? true);
    this.#unwatch = watchPage(this.connection, environment, mayLetGo);
    let wasLive = false;
    this.connection.subscribe(() => {
      const isLive = this.connection.canApply;
      if (isLive && !wasLive) this.flush();
      wasLive = isLive;
      port.statusChanged();
    });
  }

  /** Sends what may be sent. */
  flush(): void {
    this.#outbox.flush();
  }

  stop(): void {
    this.#unwatch();
    this.connection.stop();
    this.#outbox.stop();
  }

  now(): number {
    return this.#environment.now();
  }

  commit(operations: StoreOperation[]): Promise<void> {
    return this.#kept.commitAsLeader(operations);
  }

  unanswered(): Outgoing[] {
    const { ddlHeard } = this.#inbox;
    this.#sentAt = { ddlHeard, position: this.#replica.meta.position };
    return this.#kept.sendable();
  }

  async answered(batch: readonly Outgoing[], result: ApplyResult): Promise<void> {
    const answer = new BatchAnswer(result);
    const rows = new RowChanges(this.#replica);
    const operations: StoreOperation[] = [];
    let { seen } = this.#replica.meta;
    const isRaced = this.#inbox.ddlHeard !== this.#sentAt?.ddlHeard;
    const fates: [string, Fate][] = [];
    for (const write of batch) {
      const [hlc, changeSet] = write;
      const { taken, outcome } = answer.of(write, this.#replica.meta.siteId, this.now(), (change) =>
        winnerOver(rows.rowOfOwn(change), change),
      );
      const [ddl] = changeSet.schemaMigrations ?? [];
      const isTaken = ddl && (result.applied > 0 || result.standing?.includes(ddl.hlc));
      // It was stored before, with its answer lost, or others' changes have come before the answer: these
      // may be named by what it has done.
      const isInOrder =
        result.applied > 0 && this.#replica.meta.position === this.#sentAt?.position;
      if (isTaken && outcome === undefined) rows.migrate([ddl], isInOrder);
      for (const change of taken) rows.mergeOwn(change, answer.tableOf(change));
      for (const lost of outcome?.changes ?? [])
        rows.mergeWinner(lost, answer.tableOf(lost.change));
      if (isRaced && changeSet.changes.length > 0) rows.isLate = true;
      seen = later(seen, hlc);
      operations.push(entryOf(OUT + hlc));
      if (outcome) operations.push(entryOf(FATE + changeSet.transactionId, outcome));
      fates.push([changeSet.transactionId, outcome?.state ?? 'acknowledged']);
    }
    const meta: Meta = { ...this.#replica.meta, seen, isHeld: rows.isHeld };
    operations.push(...rows.operations(), entryOf(META, meta));
    // At once with the write's end: what became of it is in the snapshot alone.
    if (rows.isLate) operations.push(...startingOver(meta));
    await this.commit(operations);
    for (const [id, fate] of fates) this.#port.settle(id, fate);
  }

  async refused([hlc, changeSet]: Outgoing, error: ServerError): Promise<void> {
    const outcome: StoredOutcome = {
      state: 'rejected',
      at: this.now(),
      code: error.code,
      reason: error.message,
      changeSet,
      changes: changeSet.changes.map((change) => ({ change })),
    };
    await this.commit([entryOf(OUT + hlc), entryOf(FATE + changeSet.transactionId, outcome)]);
    this.#port.settle(changeSet.transactionId, 'rejected');
  }

  /** Gives writes from one on new dates, in their order, by the server's clock. */
  async redate(from: HlcText, serverTimeMs: number): Promise<void> {
    const clock = this.#clock;
    clock.correct(serverTimeMs);
    this.#port.statusChanged();
    const { seen } = this.#replica.meta;
    if (seen !== undefined) clock.observe(seen);
    const operations: StoreOperation[] = [];
    const writes = [...this.#replica.outbox].sort(([a], [b]) => compareHlc(a, b));
    for (const [hlc, changeSet] of writes) {
      if (compareHlc(hlc, from) < 0) {
        clock.observe(hlc);
        continue;
      }
      const next = dated(changeSet, clock.next(this.#kept.tabs?.number));
      operations.push(entryOf(OUT + hlc), entryOf(OUT + next.hlc, next));
    }
    await this.commit(operations);
  }
}
