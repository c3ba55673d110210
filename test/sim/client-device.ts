/**
 * A device that is the published client, as an app would use it: on a store that outlives it, ended at any
 * moment and started again. What it says and is told is listened to, and nothing else of it is looked
 * into.
 */

import assert from 'node:assert/strict';
import type { Environment, Transport } from '../../packages/client/src/environment.ts';
import { httpTransport } from '../../packages/client/src/http/index.ts';
import { createSyncClient, type SyncClient } from '../../packages/client/src/index.ts';
import { StoreError } from '../../packages/client/src/stores/store.ts';
import { compareHlc, type HlcText } from '../../src/clock/hlc.ts';
import { siteIdToText } from '../../src/clock/site-id.ts';
import { replay } from '../../src/engine/tables/ddl-replay.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../src/protocol/schemas.ts';
import { encodeValue, pkIdentity, type SqlValue } from '../../src/protocol/values.ts';
import { siteBytes } from '../../src/testing/device.ts';
import { createFetch } from './client-fetch.ts';
import { ClientSocket, listened } from './client-socket.ts';
import { ClientDisk } from './client-store.ts';
import type { SimDeviceOptions } from './device.ts';
import type { OwnSet, Participant, TableView } from './participant.ts';
import { isRuled, markedValue, refusedOf, tablesOf } from './rules.ts';
import { isManaged, isPlain } from './table-names.ts';
import { TableUser, type TableUserOptions } from './table-user.ts';
import { trace } from './trace.ts';

export interface ClientDeviceOptions
  extends Pick<
    SimDeviceOptions,
    'loop' | 'random' | 'nodes' | 'number' | 'databaseId' | 'isRestricted' | 'rules' | 'onFault'
  > {
  /** What its user does to tables, in a run in which they are made, dropped and renamed. */
  tables?: TableUserOptions;
  transport: 'websocket' | 'http';
  /** Whether the coordinator has ever logged something of a change set. */
  wasStored(set: WireChangeSet): boolean;
}

interface Own extends OwnSet {
  set: WireChangeSet;
  isAcknowledged: boolean;
}

type Message = Record<string, unknown> & { type?: string };

/** What the coordinator may say to a client that does all as it should. */
const EXPECTED_ERRORS = new Set([
  'AUTH_EXPIRED',
  'CLOCK_DRIFT',
  'HOOK_FAILED',
  'HANDSHAKE_TIMEOUT',
  'OVERLOADED',
  'SHUTTING_DOWN',
  'SNAPSHOT_REQUIRED',
  'STORE_BUSY',
  'STORE_FULL',
  'STORE_UNAVAILABLE',
]);
const POLL_MS = 300;
const EXPECTED_FAULTS =
  /^the connection closed|^the server (did not|answered nothing)|within \d+ ms$|simulated|may read again/;

export class ClientDevice implements Participant {
  readonly siteId: string;
  readonly databaseId: string;
  readonly isRestricted: boolean;
  readonly relays = false;
  isHealing = false;
  isListening = false;
  isAway = false;
  isHearingSlowly = false;
  skewMs = 0;
  refusals = 0;
  /** What it has sent, by transaction; the newest dates. */
  readonly #own = new Map<string, Own>();
  /** What it had sent under other dates. */
  readonly #redated: WireChangeSet[] = [];
  /** Transactions that its store had told it to be durable. */
  readonly #durable = new Set<string>();
  /** Of those, what became of them as the app was told. */
  readonly #settled = new Map<string, string>();
  readonly #batches = new Map<string, Own[]>();
  readonly #heardOf = new Set<string>();
  readonly #options: ClientDeviceOptions;
  readonly #disk: ClientDisk;
  readonly #user: TableUser | undefined;
  #client: SyncClient | undefined;
  #isReady = false;
  #socket: ClientSocket | undefined;
  #lives = 0;
  #value = 0;
  #hasStarted = false;

  constructor(options: ClientDeviceOptions) {
    this.#options = options;
    this.siteId = siteIdToText(siteBytes(options.number));
    this.databaseId = options.databaseId;
    this.isRestricted = options.isRestricted;
    this.#disk = new ClientDisk({
      ...{ loop: options.loop, random: options.random },
      isTroubled: () => !this.#isCalm,
      crash: () => this.crash(),
    });
    if (options.tables !== undefined) this.#user = new TableUser(options.tables);
  }

  get #isCalm(): boolean {
    return this.isHealing || this.isListening;
  }

  get #owner(): string {
    return `client ${this.#options.number}.${this.#lives}`;
  }

  // — its life

  #start(): void {
    this.#lives++;
    const life = this.#lives;
    const client = createSyncClient({
      ...{ url: 'simulated', databaseId: this.databaseId, siteId: this.siteId },
      store: this.#disk.mount(this.#owner),
      environment: this.#environment(),
      ...(this.#options.transport === 'http' && { transport: this.#overHttp(life) }),
    });
    this.#client = client;
    client.ready.then(
      () => {
        if (this.#lives === life) this.#isReady = true;
      },
      // Nor does a store that is full before there is anything keep it from beginning.
      (error) => this.#options.onFault(error),
    );
    client.subscribeStatus(() => {
      if (this.#client !== client) return;
      const { connection, error } = client.status;
      const isExpected =
        error === undefined || error.name === 'ServerError' || EXPECTED_FAULTS.test(error.message);
      if (!isExpected) this.#options.onFault(error);
      if (connection === 'refused') this.#options.onFault(new Error(`refused: ${error?.message}`));
    });
  }

  #environment(): Environment {
    const { loop, random, nodes, number } = this.#options;
    const owner = this.#owner;
    return {
      now: () => Math.floor(loop.nowMs + this.skewMs),
      random: () => random.next(),
      randomBytes: (count) => Uint8Array.from({ length: count }, () => random.integer(0, 255)),
      after: (ms, run) => {
        const task = loop.at(ms, run, owner);
        return () => task.cancel();
      },
      openSocket: () => {
        this.#batches.clear();
        this.#socket = new ClientSocket({
          ...{ loop, nodes, owner, name: `device ${number}` },
          sent: (message) => this.#sent(message),
          received: (message) => this.#received(message),
          loses: (message) => this.#loses(message),
        });
        return this.#socket;
      },
    };
  }

  #overHttp(life: number): Transport {
    const { nodes } = this.#options;
    const { siteId, databaseId } = this;
    const isAlive = () => this.#client !== undefined && this.#lives === life;
    const fetch = createFetch({ nodes, siteId, databaseId, isAlive });
    const open = httpTransport({ fetch, pollMs: POLL_MS });
    return (url, environment) => {
      this.#batches.clear();
      return listened(open(url, environment), {
        sent: (message) => this.#sent(message),
        received: (message) => this.#received(message),
        loses: (message) => this.#loses(message),
      });
    };
  }

  /** It ends without a word. */
  crash(): void {
    this.#options.loop.kill(this.#owner);
    this.#socket?.end();
    this.#socket = undefined;
    this.#client = undefined;
    this.#isReady = false;
  }

  /** It ends in order. */
  #close(): void {
    const client = this.#client;
    this.#client = undefined;
    this.#isReady = false;
    // What was only in memory, since its store was full, ends with it: nobody was told that it is durable.
    client?.close().catch((error) => assert.ok(error instanceof StoreError, String(error)));
    // Its store goes on until it is done; a life later nobody may write to it any more.
    this.#options.loop.kill(this.#owner);
  }

  get #ready(): SyncClient | undefined {
    return this.#isReady ? this.#client : undefined;
  }

  // — what others see of it

  get own(): readonly OwnSet[] {
    const { wasStored } = this.#options;
    const stored = this.#redated.filter(wasStored);
    return [...this.#own.values(), ...stored.map((set) => ({ set, isAcknowledged: true }))];
  }

  get replica(): { contents(): Record<string, Record<string, unknown>> } {
    return { contents: () => this.#contents() };
  }

  #contents(): Record<string, Record<string, unknown>> {
    const client = this.#ready;
    assert.ok(client, 'the client is not running');
    const contents: Record<string, Record<string, unknown>> = {};
    for (const { schema, table } of client.tables()) {
      for (const { pk, row } of client.table(table, { schema }).all()) {
        const key = JSON.stringify([schema, table, pkIdentity(pk.map(encodeValue))]);
        contents[key] = Object.fromEntries(
          Object.entries(row).map(([column, value]) => [column, encodeValue(value as SqlValue)]),
        );
      }
    }
    return contents;
  }

  get migrations(): ReadonlySet<string> {
    const known = this.#ready?.migrations ?? [];
    return new Set(known.map((it) => `${it.schema}.${it.table} ${it.schemaVersion}`));
  }

  get tables(): { catalog: TableView } | undefined {
    if (this.#options.tables === undefined) return undefined;
    const present = this.#present();
    const managed = Object.entries(this.#isReady ? this.#contents() : {}).filter(([key]) =>
      isManaged(JSON.parse(key)[1]),
    );
    const catalog: TableView = {
      tables: () => present,
      has: (table) => present.includes(table),
      contents: () => Object.fromEntries(managed),
      held: [],
      strayed: new Set(),
    };
    return { catalog };
  }

  /** Names of the tables that it has, by the DDL that it tells. */
  #present(): string[] {
    const known = (this.#ready?.migrations ?? []).filter(({ table }) => isManaged(table));
    const present = replay(known) ?? new Map<string, boolean>();
    return [...present].flatMap(([table, isThere]) => (isThere ? table : [])).sort();
  }

  get watermark(): HlcText | undefined {
    const meta = this.#disk.get('meta') as { position?: HlcText } | undefined;
    return meta?.position;
  }

  get isTakingSnapshot(): boolean {
    const status = this.#client?.status;
    return status?.bootstrap !== undefined || status?.connection === 'bootstrapping';
  }

  get isSettled(): boolean {
    const client = this.#ready;
    if (client === undefined || client.status.pending > 0 || this.isTakingSnapshot) return false;
    return this.#isLive;
  }

  get #isLive(): boolean {
    return this.#ready?.status.connection === 'live';
  }

  get isConnectedForGood(): boolean {
    return this.#isLive && this.#options.transport === 'websocket';
  }

  get isStartingOver(): boolean {
    return !this.#isLive;
  }

  /** In the end: nothing that was durable has vanished without a word. */
  check(): void {
    const client = this.#ready;
    assert.ok(client, 'the client is not running');
    const name = `device ${this.#options.number}`;
    const outcomes = new Map(client.outcomes.list().map((outcome) => [outcome.id, outcome]));
    for (const id of this.#durable) {
      const own = this.#own.get(id);
      assert.ok(own, `${name}: a durable write was never sent: ${id}`);
      assert.ok(own.isAcknowledged, `${name}: a write has no answer: ${id}`);
      const refused = refusedOf(own.set, this.#options.rules);
      this.#checkTaken(id, own.set);
      const outcome = outcomes.get(id);
      if (refused.length === 0 || this.#dismissed.has(id)) continue;
      assert.equal(outcome?.state, 'rejected', `${name}: a refused write has no outcome: ${id}`);
      const settled = this.#settled.get(id) ?? 'rejected';
      assert.equal(settled, 'rejected', `${name}: the app was told ${settled}`);
    }
    for (const key of this.#disk.keys()) {
      assert.ok(!key.startsWith('out/'), `${name}: left in the store: ${key}`);
    }
    const { generation } = this.#disk.get('meta') as { generation: number };
    for (const key of this.#disk.keys()) {
      const [kind = '', number] = key.split('/');
      if (['row', 'page', 'ddl'].includes(kind)) {
        assert.equal(number, `${generation}`, `${name}: left of another generation: ${key}`);
      }
    }
  }

  /** What the app was told to be acknowledged has been there, if only for a moment. */
  #checkTaken(id: string, set: WireChangeSet): void {
    const { rules, wasStored } = this.#options;
    // Of what is hidden from it a device is told that it was taken.
    if (this.#settled.get(id) !== 'acknowledged' || this.isRestricted || rules.moves) return;
    if (set.changes.length === 0 || !set.changes.every(({ table }) => isPlain(table))) return;
    for (const change of set.changes) {
      const isTaken = wasStored({ ...set, changes: [change] }) || this.#hasOvertaken(change);
      assert.ok(isTaken, `what is acknowledged was never there: ${JSON.stringify(change)}`);
    }
  }

  /** Whether it has itself changed the row later: that is no loss. */
  #hasOvertaken({ table, pk, hlc }: WireChange): boolean {
    return [...this.#own.values()].some(({ set }) =>
      set.changes.some(
        (other) =>
          other.table === table &&
          pkIdentity(other.pk) === pkIdentity(pk) &&
          compareHlc(other.hlc, hlc) > 0,
      ),
    );
  }

  readonly #dismissed = new Set<string>();

  // — what its user does

  write(): void {
    const { random, rules, number } = this.#options;
    const changes: WireChange[] = [];
    for (let i = random.integer(1, 3); i > 0; i--) {
      const place = {
        schema: 'main',
        table: random.pick(['t', 't', 'u', 'secret']),
        pk: [random.integer(1, 5)],
        hlc: '',
      };
      if (random.chance(0.2)) {
        changes.push({ type: 'delete', ...place });
        continue;
      }
      const column = random.pick(['a', 'b', 'c']);
      const plain = `${number}:${++this.#value}`;
      const isForbidden = random.chance(0.06);
      const value = isForbidden ? 'forbidden' : markedValue(random, rules, plain, place.pk[0] ?? 0);
      changes.push({ type: 'column', ...place, column, value });
    }
    // What is moved elsewhere is taken back only where the coordinator has heard of the table.
    if (rules.moves && !changes.every(({ table }) => this.#isKnown(table))) {
      for (const change of changes) {
        if (!isRuled(change, rules)) continue;
        if (change.type === 'column') change.value = 'allowed';
        else change.pk = [1];
      }
    }
    this.#transact(changes);
  }

  #isKnown(table: string): boolean {
    const { rules } = this.#options;
    if (this.#heardOf.has(table)) return true;
    return [...this.#own.values()].some(
      (own) => own.isAcknowledged && tablesOf(own.set, rules).includes(table),
    );
  }

  #transact(changes: readonly WireChange[]): void {
    const client = this.#ready;
    if (client === undefined || changes.length === 0) return;
    const write = client.transact((tx) => {
      for (const change of changes) {
        const table = tx.table<Record<string, SqlValue>>(change.table, { schema: change.schema });
        const pk = change.pk as SqlValue[];
        if (change.type === 'delete') table.delete(pk);
        else table.set(pk, { [change.column]: change.value as SqlValue });
      }
    });
    this.#watch(write);
  }

  #watch({ id, durable, settled }: ReturnType<SyncClient['transact']>): void {
    const life = this.#lives;
    void durable.then(() => {
      if (this.#lives === life) this.#durable.add(id);
    });
    void settled.then((state) => {
      if (this.#lives === life) this.#settled.set(id, state);
    });
  }

  #migrate({ type, schema, table, fromTable, ddl, schemaVersion }: WireMigration): void {
    const client = this.#ready;
    if (client === undefined) return;
    const from = fromTable === undefined ? {} : { fromTable };
    this.#watch(client.migrate({ type, schema, table, ddl, schemaVersion, ...from }));
  }

  changeTables(): void {
    const view = this.tables?.catalog;
    if (view === undefined || this.#user === undefined || this.#ready === undefined) return;
    const deed = this.#hasStarted ? this.#user.act(view) : this.#user.start();
    this.#hasStarted = true;
    for (const migration of deed?.migrations ?? []) this.#migrate(migration);
    this.#transact(deed?.changes ?? []);
  }

  #changePlain(): void {
    const { random, number } = this.#options;
    this.#migrate({
      type: random.pick(['create_table', 'add_column'] as const),
      ...{ schema: 'main', table: random.pick(['t', 'u']), ddl: `ddl of ${number}`, hlc: '' },
      schemaVersion: random.integer(1, 4),
    });
  }

  #lookAtOutcomes(): void {
    const { random } = this.#options;
    const outcome = random.pick(this.#ready?.outcomes.list() ?? []);
    if (outcome === undefined) return;
    // That it is gone may not be durable when the client ends: then it is there again.
    this.#dismissed.add(outcome.id);
    if (random.chance(0.5)) outcome.dismiss();
    else this.#watch(outcome.restore());
  }

  step(): void {
    const { random } = this.#options;
    if (this.isAway) return;
    const client = this.#ready;
    if (this.#client === undefined) {
      if (this.#isCalm || random.chance(0.3)) this.#start();
      return;
    }
    if (client === undefined) {
      if (!this.#isCalm && random.chance(0.05)) this.crash();
      return;
    }
    if (this.#isCalm) {
      if (this.isListening && this.isHearingSlowly && random.chance(0.7)) this.stall();
      else this.#socket?.socket?.unstall();
      if (client.status.connection === 'stopped') client.connect();
      // It asks when it connects, and is not told of its own: so it comes to the end of the log.
      else if (!this.isListening && this.isSettled && random.chance(0.15)) this.disconnect();
      return;
    }
    if (this.#options.tables !== undefined && random.chance(0.4)) {
      this.changeTables();
      return;
    }
    const dice = random.next();
    if (dice < 0.5) this.write();
    else if (dice < 0.52) this.#changePlain();
    else if (dice < 0.54) {
      this.skewMs = random.integer(-20_000, random.chance(0.2) ? 90_000 : 20_000);
    } else if (dice < 0.58) this.crash();
    else if (dice < 0.61) this.#close();
    else if (dice < 0.64) this.disconnect();
    else if (dice < 0.67) client.disconnect();
    else if (dice < 0.7) this.stall();
    else if (dice < 0.76) this.#socket?.socket?.unstall();
    else if (dice < 0.79) this.#lookAtOutcomes();
    else client.connect();
  }

  stall(): void {
    const socket = this.#socket?.socket;
    if (socket !== undefined) socket.isStalled = true;
  }

  disconnect(): void {
    if (this.#options.transport === 'http') this.#ready?.disconnect();
    this.#socket?.socket?.cut();
  }

  leave(): void {
    this.isAway = true;
    if (this.#options.random.chance(0.5)) this.crash();
    else this.#ready?.disconnect();
  }

  // — what it says and is told

  #trace(what: string, message: Message): void {
    const name = `device ${this.#options.number}`;
    trace(this.#options.loop.nowMs, `${what} ${name}`, JSON.stringify(message));
  }

  #sent(message: Message): void {
    this.#trace('from', message);
    const { type, changes, requestId } = message;
    if (type !== 'apply_changes') return;
    const batch = (changes as WireChangeSet[]).map((set) => this.#noteSent(set));
    this.#batches.set(String(requestId), batch);
  }

  #noteSent(sent: WireChangeSet): Own {
    const set = { ...sent, schemaMigrations: sent.schemaMigrations ?? [] };
    const known = this.#own.get(set.transactionId);
    if (known === undefined) {
      const own = { set, isAcknowledged: false };
      this.#own.set(set.transactionId, own);
      return own;
    }
    assert.ok(
      !known.isAcknowledged || known.set.hlc === set.hlc,
      'it dates anew what was answered',
    );
    if (known.set.hlc !== set.hlc) this.#redated.push(known.set);
    known.set = set;
    return known;
  }

  #received(message: Message): void {
    this.#trace('to', message);
    const { type, requestId, code, fatal } = message;
    for (const { table } of changesIn(message)) this.#heardOf.add(table);
    this.#checkHidden(message);
    if (type === 'apply_result') {
      const batch = this.#batches.get(String(requestId)) ?? [];
      for (const own of batch) this.#answered(own);
    } else if (type === 'error') {
      if (code === 'SNAPSHOT_REQUIRED') this.refusals++;
      const isExpected = fatal === false && EXPECTED_ERRORS.has(String(code));
      if (!isExpected) this.#options.onFault(new Error(`it is told ${JSON.stringify(message)}`));
    }
  }

  /** Often enough the answer to DDL, of which the app would hear only what it would do without it. */
  #loses({ type, requestId }: Message): boolean {
    if (type !== 'apply_result' || this.#isCalm) return false;
    const batch = this.#batches.get(String(requestId)) ?? [];
    const hasDdl = batch.some(({ set }) => set.schemaMigrations.length > 0);
    return hasDdl && this.#options.random.chance(0.15);
  }

  #answered(own: Own): void {
    this.#trace('answered:', { ...own.set });
    own.isAcknowledged = true;
  }

  #checkHidden(message: Message): void {
    if (!this.isRestricted) return;
    const shown = changesIn(message).find(({ table }) => table === 'secret');
    if (shown !== undefined) this.#options.onFault(new Error('it is shown what is hidden'));
  }
}

/** What others have changed, in a message of any kind. */
function changesIn({ type, changeSets, chunk }: Message): { table: string }[] {
  if (type === 'changes' || type === 'push_changes') {
    return (changeSets as WireChangeSet[]).flatMap(({ changes }) => changes);
  }
  const { table, entries } = (chunk ?? {}) as { table?: string; entries?: unknown[] };
  return table === undefined || entries === undefined ? [] : [{ table }];
}
