/**
 * A model of a client: it edits its own replica at any time, keeps what it has not been answered
 * yet, and syncs over a socket or by polling. Its watermark comes from ordered replies only.
 */

import assert from 'node:assert/strict';
import {
  compareHlc,
  decodeHlc,
  encodeHlc,
  HLC_MIN,
  type HlcText,
  maxHlc,
  minHlc,
} from '../../src/clock/hlc.ts';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../src/protocol/schemas.ts';
import type { ApplyResult } from '../../src/protocol/types.ts';
import { readerOf } from '../../src/service/access/rights.ts';
import { siteBytes } from '../../src/testing/device.ts';
import { Replica } from '../support/replica.ts';
import type { DeviceTables } from './device-tables.ts';
import type { Loop } from './loop.ts';
import type { SimSocket } from './network.ts';
import type { Nodes } from './nodes.ts';
import type { Participant } from './participant.ts';
import type { Random } from './random.ts';
import { heldOf, isRuled, markedValue, type Rules, refusedOf, tablesOf } from './rules.ts';
import type { Deed } from './table-user.ts';
import { trace } from './trace.ts';

export interface SimDeviceOptions {
  loop: Loop;
  random: Random;
  nodes: Nodes;
  number: number;
  databaseId: string;
  transport: 'websocket' | 'http';
  /** Whether it may not see the table `secret`. */
  isRestricted: boolean;
  /** Whether it pushes back what it received, as clients of today do. */
  relays: boolean;
  /** Whether it makes something else of some of that, in the names of those who wrote it. */
  forges: boolean;
  rules: Rules;
  /** Its tables, in a run in which they are made, dropped and renamed. */
  tables?: DeviceTables;
  /** Told what is not as it must be, where nobody waits for it. */
  onFault(error: unknown): void;
}

interface Own {
  /** As it is sent. */
  set: WireChangeSet;
  /** What the device still holds of it. */
  held: WireChangeSet;
  isAcknowledged: boolean;
}

interface Checkpoint {
  snapshotId: string;
  siteId: string;
  hlc: string;
  lastTableIndex: number;
  lastEntryIndex: number;
  completedTables: string[];
  entriesProcessed: number;
  createdAt: number;
}

interface Chunk {
  type: string;
  snapshotId?: string;
  hlc?: string;
  schema?: string;
  table?: string;
  migration?: WireMigration;
}

/** A snapshot that is coming in, or has been cut. */
interface Staged {
  chunks: Chunk[];
  /** What had been acknowledged when it was asked for: that is in it. */
  acknowledged: Set<Own>;
  /** What was heard since then. */
  news: WireChangeSet[];
  /** As above, of the last time that it was resumed, in case that begins it anew. */
  resumed?: Staged;
}

type Message = Record<string, unknown> & { type?: string };
type Waiting = { kind: 'apply'; own: Own[] } | { kind: 'changes' } | { kind: 'snapshot' };

const PUSH_TRANSACTIONS_MAX = 4;
/** So that the many rows which it writes are newer than what becomes of their table. */
const BULK_SKEW_MS = 40_000;
const OFFLINE_MS = 2500;

export class SimDevice implements Participant {
  readonly siteId: string;
  readonly databaseId: string;
  readonly isRestricted: boolean;
  readonly own: Own[] = [];
  replica = new Replica();
  watermark: HlcText | undefined;
  /** While set, it does what brings everybody together, and nothing else. */
  isHealing = false;
  /** While set, it only listens. */
  isListening = false;
  /** While set, it is switched off, whatever the others do. */
  isAway = false;
  isHearingSlowly = false;
  skewMs = 0;
  /** How often it was told to begin anew with a snapshot. */
  refusals = 0;
  readonly migrations = new Set<string>();
  readonly tables: DeviceTables | undefined;
  readonly relays: boolean;
  readonly #options: SimDeviceOptions;
  readonly #bytes: Uint8Array;
  #lastHlc: HlcText = HLC_MIN;
  #received: WireChangeSet[] = [];
  #base: object[] = [];
  #socket: SimSocket | undefined;
  #isJoined = false;
  /** Whether it has been answered on this socket: what is pushed from then on leaves nothing out. */
  #isInStep = false;
  #requests = 0;
  #waiting = new Map<string, Waiting>();
  #isBusy = false;
  /** The newest position of a push on this socket, or of an answer. */
  #newestOnSocket: HlcText = HLC_MIN;
  #answerEnd: HlcText = HLC_MIN;
  /** The earliest position that was asked from on this socket, whichever node it was told by. */
  #askedSince: HlcText | undefined;
  /** A snapshot that is coming in, or has been cut. */
  #staged: Staged | undefined;
  #mustStartOver = false;
  #value = 0;

  constructor(options: SimDeviceOptions) {
    this.#options = options;
    this.#bytes = siteBytes(options.number);
    this.siteId = siteIdToText(this.#bytes);
    this.databaseId = options.databaseId;
    this.isRestricted = options.isRestricted;
    this.tables = options.tables;
    this.relays = options.relays;
    if (this.tables?.isBulky && options.random.chance(0.5)) this.skewMs = BULK_SKEW_MS;
  }

  get #name(): string {
    return `device ${this.#options.number}`;
  }

  /** Whether it is about to take a snapshot. */
  get isTakingSnapshot(): boolean {
    return this.#staged !== undefined;
  }

  get isSettled(): boolean {
    return this.own.every(({ isAcknowledged }) => isAcknowledged) && this.#staged === undefined;
  }

  get isConnectedForGood(): boolean {
    const isWhole = this.tables === undefined || this.#isInStep;
    return this.#options.transport === 'websocket' && this.#isJoined && isWhole;
  }

  /** It was told to, also while it listened, and is not yet where it hears of everything again. */
  get isStartingOver(): boolean {
    const isToAsk = this.#mustStartOver || this.#staged !== undefined;
    return isToAsk || this.#socket === undefined || !this.#isInStep;
  }

  // — what its user does

  write(): void {
    const { random } = this.#options;
    const changes: WireChange[] = [];
    const clock = this.#tick();
    const { rules } = this.#options;
    for (let i = random.integer(1, 3); i > 0; i--) {
      const table = random.pick(['t', 't', 'u', 'secret']);
      const pk = [random.integer(1, 5)];
      const hlc = this.#stamp(clock, changes.length);
      if (random.chance(0.2)) {
        changes.push({ type: 'delete', schema: 'main', table, pk, hlc });
        continue;
      }
      const column = random.pick(['a', 'b', 'c']);
      const plain = `${this.#options.number}:${++this.#value}`;
      const isForbidden = random.chance(0.06);
      const value = isForbidden ? 'forbidden' : markedValue(random, rules, plain, pk[0] ?? 0);
      changes.push({ type: 'column', schema: 'main', table, pk, column, value, hlc });
    }
    // What is refused leaves nothing, not even a table: in one that the coordinator has never heard of it
    // is not taken back.
    const isTakenBack = rules.onReject === 'revert' || rules.moves;
    if (isTakenBack && !changes.every(({ table }) => this.#isKnown(table))) {
      for (const change of changes) {
        if (!isRuled(change, rules)) continue;
        if (change.type === 'column') change.value = 'allowed';
        else change.pk = [1];
      }
    }
    this.#commit(clock, changes, []);
  }

  /** Whether the coordinator has heard of a table for sure. */
  #isKnown(table: string): boolean {
    const isOfTable = (change: WireChange) => change.table === table;
    const { rules } = this.#options;
    return (
      this.#received.some(({ changes }) => changes.some(isOfTable)) ||
      this.own.some((own) => own.isAcknowledged && tablesOf(own.set, rules).includes(table))
    );
  }

  migrate(): void {
    const { random } = this.#options;
    const clock = this.#tick();
    const migration: WireMigration = {
      type: random.pick(['create_table', 'add_column'] as const),
      schema: 'main',
      table: random.pick(['t', 'u']),
      ddl: `ddl of ${this.#options.number}`,
      hlc: this.#stamp(clock, 0),
      schemaVersion: random.integer(1, 4),
    };
    this.#commit(clock, [], [migration]);
  }

  /** What its user does to tables. */
  changeTables(): void {
    const deed = this.tables?.act();
    if (deed !== undefined) this.#do(deed);
  }

  /** It is offline when it drops the table, and for as long as another fills it. */
  #dropUnseen(tables: DeviceTables): void {
    if (this.isHealing || this.isListening) return;
    this.#do(tables.dropBig());
    this.leave();
    this.#options.loop.at(OFFLINE_MS, () => {
      this.isAway = false;
    });
  }

  #do({ migrations, changes }: Deed): void {
    const clock = this.#tick();
    const dated = migrations.map((each, i) => ({ ...each, hlc: this.#stamp(clock, i) }));
    const count = migrations.length;
    this.#commit(
      clock,
      changes.map((each, i) => ({ ...each, hlc: this.#stamp(clock, count + i) })),
      dated,
    );
  }

  #commit(clock: HlcText, changes: WireChange[], schemaMigrations: WireMigration[]): void {
    const hlc = this.#stamp(clock, Math.max(0, changes.length + schemaMigrations.length - 1));
    const transactionId = `${this.#options.number}-${this.own.length}`;
    const set = { siteId: this.siteId, transactionId, hlc, changes, schemaMigrations };
    this.#lastHlc = hlc;
    this.own.push({ set, held: set, isAcknowledged: false });
    this.tables?.wrote(set);
    this.#take([set]);
  }

  #tick(): HlcText {
    const { loop } = this.#options;
    const now = BigInt(Math.floor(loop.nowMs + this.skewMs));
    const { wallTime, counter } = decodeHlc(this.#lastHlc);
    const next =
      now > wallTime
        ? { wallTime: now, counter: 0 }
        : {
            wallTime: counter < 0xffff ? wallTime : wallTime + 1n,
            counter: (counter + 1) & 0xffff,
          };
    return encodeHlc({ ...next, siteId: this.#bytes, opSeq: 0 });
  }

  #stamp(clock: HlcText, opSeq: number): HlcText {
    return encodeHlc({ ...decodeHlc(clock), opSeq });
  }

  // — what it does by itself

  step(): void {
    const { random, transport } = this.#options;
    if (this.isAway) return;
    if (this.isListening && !this.isStartingOver) {
      // It hears slowly at times, and so falls behind what is pushed to it.
      if (this.#socket !== undefined && this.isHearingSlowly) this.#hearSlowly(this.#socket);
      else this.#socket?.unstall();
      return;
    }
    if (this.isHealing || this.isListening) {
      this.#socket?.unstall();
      if (transport === 'http') this.#poll();
      else if (this.#socket === undefined) this.#connect();
      else if (this.#isJoined) this.#sync();
      return;
    }
    if (this.tables !== undefined && (this.tables.isFilling || random.chance(0.4))) {
      this.changeTables();
      return;
    }
    const dice = random.next();
    if (dice < 0.5) this.write();
    else if (dice < 0.52) this.migrate();
    else if (dice < 0.54)
      this.skewMs = random.integer(-20_000, random.chance(0.2) ? 90_000 : 20_000);
    else if (transport === 'http') this.#poll();
    else if (this.#socket === undefined) {
      if (dice < 0.8) this.#connect();
    } else if (dice < 0.6) this.disconnect();
    else if (dice < 0.63) this.#socket.isStalled = true;
    else if (dice < 0.68) this.#socket.unstall();
    else if (!this.#isJoined) return;
    else if (dice < 0.72) this.#askSnapshot();
    else if (dice < 0.75 && this.#options.relays) this.#relay();
    else if (dice < 0.77) this.#socket.tell({ type: 'ping' });
    else this.#sync();
  }

  #hearSlowly(socket: SimSocket): void {
    if (this.#options.random.chance(0.3)) socket.unstall();
    else socket.isStalled = true;
  }

  /** It takes nothing from its socket, for some time. */
  stall(): void {
    if (this.#socket !== undefined) this.#socket.isStalled = true;
  }

  disconnect(): void {
    this.#socket?.cut();
  }

  /** It goes offline, and stays so until `isAway` is taken back. */
  leave(): void {
    this.isAway = true;
    this.disconnect();
  }

  #connect(): void {
    this.#socket = this.#options.nodes.connect({
      onMessage: (message) => this.#onMessage(message),
      onClose: () => this.#onClose(),
      name: this.#name,
    });
    this.#newestOnSocket = HLC_MIN;
    this.#answerEnd = HLC_MIN;
    this.#askedSince = undefined;
    const { siteId, databaseId } = this;
    this.#socket?.tell({ type: 'handshake', siteId, databaseId, protocolVersion: 1 });
  }

  #onClose(): void {
    this.#socket = undefined;
    this.#isJoined = false;
    this.#isInStep = false;
    this.#waiting.clear();
  }

  #sync(): void {
    const busy = [...this.#waiting.values()];
    if (!busy.some(({ kind }) => kind === 'apply')) {
      const own = this.#nextOwn();
      if (own.length > 0) {
        const requestId = this.#ask({ kind: 'apply', own });
        const changes = own.map(({ set }) => set);
        this.#socket?.tell({ type: 'apply_changes', changes, requestId });
      }
    }
    if (busy.some(({ kind }) => kind !== 'apply')) return;
    if (this.#mustStartOver || this.#staged !== undefined) this.#askSnapshot();
    else {
      const since = this.watermark ?? HLC_MIN;
      this.#askedSince = minHlc(this.#askedSince ?? since, since);
      const requestId = this.#ask({ kind: 'changes' });
      this.#socket?.tell({ type: 'get_changes', sinceHLC: this.watermark, requestId });
    }
  }

  #nextOwn(): Own[] {
    const waiting = this.own.filter(({ isAcknowledged }) => !isAcknowledged);
    // Who changes tables has more to say: all of it should be said before long.
    const isLong = this.isHealing && this.tables?.isBulky === false;
    const max = isLong ? 10 * PUSH_TRANSACTIONS_MAX : PUSH_TRANSACTIONS_MAX;
    return waiting.slice(0, this.#options.random.integer(1, max));
  }

  #ask(waiting: Waiting): string {
    const requestId = String(++this.#requests);
    this.#waiting.set(requestId, waiting);
    return requestId;
  }

  #askSnapshot(): void {
    if ([...this.#waiting.values()].some(({ kind }) => kind !== 'apply')) return;
    const requestId = this.#ask({ kind: 'snapshot' });
    const checkpoint = this.#checkpoint();
    if (checkpoint !== undefined && this.#staged !== undefined) {
      this.#staged.resumed = this.#stage();
      this.#socket?.tell({ type: 'resume_snapshot', checkpoint, requestId });
      return;
    }
    this.#staged = this.#stage();
    this.#socket?.tell({ type: 'get_snapshot', requestId });
  }

  #stage(): Staged {
    const acknowledged = this.own.filter(({ isAcknowledged }) => isAcknowledged);
    return { chunks: [], acknowledged: new Set(acknowledged), news: [] };
  }

  /** Where a snapshot that was cut can go on. */
  #checkpoint(): Checkpoint | undefined {
    const header = this.#staged?.chunks.find(({ type }) => type === 'header');
    if (this.#staged === undefined || header === undefined) return undefined;
    const ended = this.#staged.chunks.filter(({ type }) => type === 'table-end');
    return {
      snapshotId: String(header.snapshotId),
      siteId: this.siteId,
      hlc: String(header.hlc),
      lastTableIndex: ended.length,
      lastEntryIndex: 0,
      completedTables: ended.map(({ schema, table }) => `${schema}.${table}`),
      entriesProcessed: 0,
      createdAt: 0,
    };
  }

  /** Pushes back what others have written, as if it were its own to tell. */
  #relay(): void {
    const { random } = this.#options;
    const others = this.#received.filter(({ siteId }) => siteId !== this.siteId);
    if (others.length === 0) return;
    const start = random.integer(0, others.length - 1);
    const received = others.slice(start, start + 5);
    const isForged = this.#options.forges && random.chance(0.5);
    const changes = isForged ? received.map(forged) : received;
    // In runs with tables it may also make one change set of all of it, of several authors.
    const isJoined = this.tables !== undefined && random.chance(0.5);
    const sent = isJoined ? [this.#joined(changes)] : changes;
    this.#socket?.tell({ type: 'apply_changes', changes: sent });
  }

  #joined(changeSets: readonly WireChangeSet[]): WireChangeSet {
    const changes = changeSets.flatMap((set) => set.changes);
    const schemaMigrations = changeSets.flatMap((set) => set.schemaMigrations);
    const hlc = changeSets.map((set) => set.hlc).reduce(maxHlc);
    return { siteId: this.siteId, transactionId: 'relayed', hlc, changes, schemaMigrations };
  }

  // — what it hears

  #onMessage(message: Message): void {
    const requestId = String(message.requestId);
    const { random } = this.#options;
    switch (message.type) {
      case 'handshake_ack':
        this.#isJoined = true;
        if (this.tables !== undefined || random.chance(0.8) || this.isHealing) this.#sync();
        return;
      case 'changes': {
        const changeSets = message.changeSets as WireChangeSet[];
        this.#checkRising(changeSets, this.#askedSince ?? HLC_MIN, 'an answer');
        for (const { hlc } of changeSets) this.#answerEnd = maxHlc(this.#answerEnd, hlc);
        this.#newestOnSocket = maxHlc(this.#newestOnSocket, this.#answerEnd);
        this.#isInStep = true;
        this.#hear(changeSets);
        this.#moveTo(changeSets);
        this.#forget('changes');
        return;
      }
      case 'push_changes': {
        const changeSets = message.changeSets as WireChangeSet[];
        this.#checkRising(changeSets, this.#newestOnSocket, 'a push');
        this.#newestOnSocket = changeSets.at(-1)?.hlc ?? this.#newestOnSocket;
        assert.ok(
          changeSets.every(({ changes }) => changes.every(({ hlc }) => !isOf(hlc, this.#bytes))),
          'a push holds what its receiver wrote itself',
        );
        const isLost = !this.isHealing && !this.isListening && random.chance(0.1);
        if (this.tables === undefined) {
          if (!isLost) this.#take(changeSets);
        } else if (isLost) this.disconnect();
        else if (this.#isInStep) this.#hear(changeSets);
        return;
      }
      case 'apply_result': {
        const waiting = this.#waiting.get(requestId);
        this.#waiting.delete(requestId);
        if (waiting?.kind === 'apply') this.#acknowledged(waiting.own, message);
        return;
      }
      case 'request_changes': {
        const since = String(message.sinceHLC);
        // DDL that relies on what is not there yet would arrive before it.
        const isEarlier = (own: Own) => this.tables?.isOnlyMaker && !own.isAcknowledged;
        const wanted = this.own.filter((own) => isEarlier(own) || isAfter(own.set.hlc, since));
        if (wanted.length === 0) return;
        const changes = wanted.slice(0, PUSH_TRANSACTIONS_MAX).map(({ set }) => set);
        this.#socket?.tell({ type: 'apply_changes', changes });
        return;
      }
      case 'snapshot_chunk':
        this.#onChunk(message.chunk as Chunk);
        return;
      case 'snapshot_complete':
        this.#forget('snapshot');
        this.#onSnapshot();
        return;
      case 'error':
        this.#onError(message, requestId);
    }
  }

  #forget(kind: Waiting['kind']): void {
    for (const [id, waiting] of this.#waiting) {
      if (waiting.kind !== kind) continue;
      this.#waiting.delete(id);
      return;
    }
  }

  #onError({ code, fatal, message }: Message, requestId: string): void {
    const waiting = this.#waiting.get(requestId);
    this.#waiting.delete(requestId);
    assert.equal(fatal, false, `${code}: ${message}`);
    assert.ok(!/^(MESSAGE_ERROR|INTERNAL|NOT_)/.test(String(code)), `${code}: ${message}`);
    if (code === 'SNAPSHOT_REQUIRED') this.#startOver();
    if (waiting?.kind === 'snapshot') this.#staged = undefined;
  }

  #startOver(): void {
    this.#mustStartOver = true;
    this.#isInStep = false;
    this.refusals++;
  }

  #checkRising(changeSets: readonly WireChangeSet[], after: HlcText, what: string): void {
    let before = after;
    for (const { hlc } of changeSets) {
      assert.ok(compareHlc(hlc, before) > 0, `${what} goes back to ${hlc} after ${before}`);
      before = hlc;
    }
  }

  #moveTo(changeSets: readonly WireChangeSet[]): void {
    for (const { hlc } of changeSets) this.watermark = maxHlc(this.watermark ?? hlc, hlc);
  }

  /** What is said to it, in the order in which it is said, nothing left out. */
  #hear(changeSets: readonly WireChangeSet[]): void {
    if (!this.#mustStartOver) this.tables?.heard(changeSets);
    this.#take(changeSets);
  }

  #take(changeSets: readonly WireChangeSet[]): void {
    this.#received.push(...changeSets.filter((set) => this.#isWorthRelaying(set)));
    // While a snapshot comes in it hears of other things, too.
    const news = changeSets.filter(({ siteId }) => siteId !== this.siteId);
    this.#staged?.news.push(...news);
    this.#staged?.resumed?.news.push(...news);
    this.replica.apply(changeSets);
    for (const { changes, schemaMigrations } of changeSets) {
      for (const { schema, table, schemaVersion, hlc } of schemaMigrations) {
        this.migrations.add(`${schema}.${table} ${schemaVersion}`);
        // What it does after it has heard of DDL is dated after it.
        if (this.tables !== undefined) this.#lastHlc = maxHlc(this.#lastHlc, hlc);
      }
      for (const { hlc, table } of changes) {
        const own = isOf(hlc, this.#bytes);
        assert.ok(own || !this.isRestricted || table !== 'secret', 'it is shown what is hidden');
        this.#lastHlc = maxHlc(this.#lastHlc, hlc);
      }
    }
  }

  #isWorthRelaying({ changes, schemaMigrations }: WireChangeSet): boolean {
    return changes.length > 0 || (this.tables !== undefined && schemaMigrations.length > 0);
  }

  /** @param answer says what was refused */
  #acknowledged(own: readonly Own[], { rejected = [] }: Message | ApplyResult): void {
    const { nowMs } = this.#options.loop;
    for (const { set } of own) trace(nowMs, `${this.#name} is acknowledged`, JSON.stringify(set));
    const { rules } = this.#options;
    const refused = own.flatMap(({ set }) => refusedOf(set, rules));
    assert.deepEqual(
      placesOf(rejected as Place[]),
      placesOf(refused),
      'what it is told was refused',
    );
    let hasLost = false;
    for (const each of own) {
      each.isAcknowledged = true;
      this.tables?.acknowledged(each.set);
      if (this.tables?.dropsUnseen(each.set) === true) this.#dropUnseen(this.tables);
      if (rules.onReject === 'revert') continue;
      const changes = heldOf(each.set, rules);
      hasLost ||= changes.length < each.set.changes.length;
      each.held = { ...each.set, changes };
    }
    // It takes back by itself what was refused.
    if (hasLost) this.#rebuild();
  }

  #rebuild(): void {
    this.replica = new Replica();
    this.replica.load(this.#base);
    this.replica.apply(this.#received.filter(({ siteId }) => siteId !== this.siteId));
    this.replica.apply(this.own.map(({ held }) => held));
  }

  #onChunk(chunk: Chunk): void {
    if (this.#staged === undefined) return;
    if (chunk.type === 'header') {
      const known = this.#staged.chunks.find(({ type }) => type === 'header');
      // It could not go on where it had been cut: it begins anew.
      const { resumed } = this.#staged;
      if (known?.snapshotId !== chunk.snapshotId && resumed !== undefined) this.#staged = resumed;
    }
    this.#staged.chunks.push(chunk);
    // It goes on from any place of it, once more things may have happened.
    if (this.tables === undefined || this.isHealing || this.isListening) return;
    if (this.#options.random.chance(0.04)) this.disconnect();
  }

  #onSnapshot(): void {
    const staged = this.#staged;
    this.#staged = undefined;
    trace(this.#options.loop.nowMs, `${this.#name} has taken`, JSON.stringify(staged?.chunks));
    if (staged === undefined) return;
    const header = staged.chunks.find(({ type }) => type === 'header');
    for (const { migration } of staged.chunks) {
      if (migration === undefined) continue;
      const { schema, table, schemaVersion } = migration;
      this.migrations.add(`${schema}.${table} ${schemaVersion}`);
    }
    // What had been acknowledged when it was first asked for is in it; all else that was held is not to be trusted.
    this.#mustStartOver = false;
    this.#isInStep = false;
    const pending = this.own.filter((each) => !staged.acknowledged.has(each));
    this.tables?.startOver(
      staged.chunks,
      pending.map(({ set }) => set),
    );
    this.#base = staged.chunks;
    this.#received = staged.news;
    this.watermark = header?.hlc;
    this.replica = new Replica();
    this.replica.load(this.#base);
    this.replica.apply(staged.news);
    for (const each of this.own) {
      // The rest is sent again: it may have been beaten by what the snapshot says nothing of.
      each.isAcknowledged = staged.acknowledged.has(each);
      // Of its own deletions it will not be told again.
      const isIn = (type: string) => staged.acknowledged.has(each) && type !== 'delete';
      const changes = each.held.changes.filter(({ type }) => !isIn(type));
      each.held = { ...each.held, changes };
      this.replica.apply([each.held]);
    }
  }

  // — over HTTP

  #poll(): void {
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#pollOnce()
      .catch((error: unknown) => {
        // No answer, or a refusal: it asks again.
        if (error instanceof assert.AssertionError) this.#options.onFault(error);
      })
      .finally(() => {
        this.#isBusy = false;
      });
  }

  async #pollOnce(): Promise<void> {
    const { nodes } = this.#options;
    const { siteId: site, databaseId } = this;
    // A client asks before it sends: who has nothing is never refused, and is taken to hold nothing that
    // a deletion which is forgotten by now would have beaten.
    const own = this.watermark === undefined ? [] : this.#nextOwn();
    if (own.length > 0) {
      const body = JSON.stringify(own.map(({ set }) => set));
      const applied = await nodes.request(site, databaseId, (service, client) =>
        service.withAccess(databaseId, (access) =>
          service.handleApplyChanges(client, access, JSON.parse(body)),
        ),
      );
      this.#acknowledged(own, applied.result);
    }
    if (this.#mustStartOver) return this.#fetchSnapshot();
    try {
      const { watermark: sinceHLC } = this;
      const page = await nodes.request(site, databaseId, (service, client) =>
        service.withAccess(databaseId, (access) =>
          service.delivery.changes(readerOf(client), access, { sinceHLC }),
        ),
      );
      const changeSets: WireChangeSet[] = page.changeSets.map((json) =>
        JSON.parse(Buffer.from(json).toString()),
      );
      const since = sinceHLC ?? HLC_MIN;
      this.#checkRising(changeSets, since, 'a page');
      assert.ok(compareHlc(page.watermark, since) >= 0, 'a watermark goes back');
      this.#hear(changeSets);
      this.watermark = page.watermark;
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      if (error instanceof Error && 'code' in error && error.code === 'SNAPSHOT_REQUIRED') {
        this.#startOver();
      }
    }
  }

  async #fetchSnapshot(): Promise<void> {
    const { nodes } = this.#options;
    const { siteId: site, databaseId } = this;
    this.#staged = this.#stage();
    try {
      const texts = await nodes.request(site, databaseId, (service, client) =>
        service.withAccess(databaseId, async (access) => {
          const snapshot = await service.delivery.snapshots.open(readerOf(client), access);
          const chunks: string[] = [];
          try {
            for await (const chunk of snapshot.chunks) chunks.push(Buffer.from(chunk).toString());
          } finally {
            await snapshot.close();
          }
          await snapshot.noteSent();
          return chunks;
        }),
      );
      for (const text of texts) this.#onChunk(JSON.parse(text));
      this.#onSnapshot();
    } catch (error) {
      this.#staged = undefined;
      throw error;
    }
  }
}

/** Where a change stands, or what was told of it. */
interface Place {
  table?: string;
  column?: string;
  pk?: unknown[];
}

function placesOf(said: readonly Place[]): string[] {
  return said.map(({ table, column, pk }) => JSON.stringify([table, column, pk])).sort();
}

function isAfter(hlc: HlcText, other: HlcText): boolean {
  return compareHlc(hlc, other) > 0;
}

function isOf(hlc: HlcText, site: Uint8Array): boolean {
  return Buffer.compare(Buffer.from(hlc, 'base64').subarray(10, 26), site) === 0;
}

const FORGED_AHEAD_MS = 500n;

/** The same as if its authors had written something else soon afterwards. */
function forged(set: WireChangeSet): WireChangeSet {
  const later = <Item extends { hlc: HlcText }>(item: Item): Item => {
    const hlc = decodeHlc(item.hlc);
    return { ...item, hlc: encodeHlc({ ...hlc, wallTime: hlc.wallTime + FORGED_AHEAD_MS }) };
  };
  const changes = set.changes.map((change) =>
    later(change.type === 'column' ? { ...change, value: 'forged' } : change),
  );
  return { ...set, changes, schemaMigrations: set.schemaMigrations.map(later) };
}
