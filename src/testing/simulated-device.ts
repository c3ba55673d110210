/**
 * A device of an app: the client that apps use, with a replica in memory, a clock that a test moves,
 * and a real WebSocket to the coordinator while it is online.
 */

import { once } from 'node:events';
import WebSocket from 'ws';
import { createEnvironment, type SocketLike } from '../../packages/client/src/environment.ts';
import {
  createSyncClient,
  type Outcome,
  type OutcomeChange,
  ServerError,
  type SyncClient,
} from '../../packages/client/src/index.ts';
import { GUILTY } from '../../packages/client/src/outbox.ts';
import { memoryStore } from '../../packages/client/src/stores/memory.ts';
import type { Fate } from '../../packages/client/src/write.ts';
import { siteIdToText } from '../clock/site-id.ts';
import type { ServerMessage } from '../protocol/server-messages.ts';
import { encodeValue, pkIdentity, type SqlValue } from '../protocol/values.ts';
import type { TestClock } from './clock.ts';
import { siteBytes } from './device.ts';

export interface SimulatedDeviceOptions {
  /** Default: `default`. */
  databaseId?: string;
  token?: string;
  /** The number of its site. Default: a random one. */
  site?: number;
  /** How far its clock is ahead of the coordinator's, in milliseconds, until the client corrects it. */
  skewMs?: number;
}

/** Columns of a row that are written, but for those that are `undefined`, or a delete of it. */
export type DeviceWrite =
  | {
      table: string;
      pk: readonly SqlValue[];
      set: Readonly<Record<string, SqlValue | undefined>>;
      schema?: string;
    }
  | { table: string; pk: readonly SqlValue[]; delete: true; schema?: string };

/** What became of a transaction. */
export interface Verdict {
  readonly state: Fate;
  /** The changes that were rejected, each with the hook's reason and code, or the coordinator's. */
  readonly rejected: readonly OutcomeChange[];
  /** As the app finds it in `client.outcomes`; missing where all was taken. */
  readonly outcome: Outcome | undefined;
}

/** What the client mends at once, or gives up. All else it tries until it succeeds, which is too long for a test. */
const MENDED = [...GUILTY, 'CLOCK_DRIFT', 'SNAPSHOT_REQUIRED'];

export class SimulatedDevice {
  /** All that an app can do and see. */
  readonly client: SyncClient;
  readonly #url: string;
  #socket: WebSocket | undefined;
  /** Give up what waits for the coordinator. */
  readonly #waiting = new Set<(error: Error) => void>();
  /** One after the other. */
  #coming = Promise.resolve();
  /** What the coordinator has refused, the oldest first. */
  readonly errors: ServerError[] = [];
  /** The close code of the last connection, once it is closed. */
  closeCode: number | undefined;

  /** @param url the URL of the coordinator's WebSocket */
  constructor(url: string, clock: TestClock, options: SimulatedDeviceOptions = {}) {
    this.#url = url;
    const { databaseId, token, site, skewMs = 0 } = options;
    const { random, randomBytes, after } = createEnvironment();
    this.client = createSyncClient({
      url,
      databaseId,
      token,
      siteId: site === undefined ? undefined : siteIdToText(siteBytes(site)),
      store: memoryStore(),
      connect: false,
      environment: {
        random,
        randomBytes,
        after,
        now: () => clock.now() + skewMs,
        openSocket: () => this.#open(),
      },
    });
  }

  #open(): SocketLike {
    const socket = new WebSocket(this.#url, { perMessageDeflate: false });
    this.#socket = socket;
    this.closeCode = undefined;
    socket.on('close', (code) => {
      if (this.#socket === socket) this.closeCode = code;
    });
    socket.on('message', (data) => {
      const message: ServerMessage = JSON.parse(data.toString());
      if (message.type !== 'error') return;
      const error = new ServerError(message);
      this.errors.push(error);
      if (!MENDED.includes(error.code)) for (const giveUp of this.#waiting) giveUp(error);
    });
    return socket;
  }

  /** @throws the coordinator's refusal of what may pass, which the client tries again */
  #answered<T>(answer: Promise<T>): Promise<T> {
    const answered = new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject);
      answer.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
    // A test may not wait for it: then a failure is no unhandled rejection.
    answered.catch(() => undefined);
    return answered;
  }

  /** 22 characters of base64url. */
  get siteId(): string {
    return this.client.siteId;
  }

  get isOnline(): boolean {
    return ['live', 'renewing'].includes(this.client.status.connection);
  }

  /**
   * Writes columns of a row to its replica at once. Resolves with what became of it; while the device
   * is offline, only after it has come back.
   */
  write(
    table: string,
    pk: readonly SqlValue[],
    values: Readonly<Record<string, SqlValue | undefined>>,
  ): Promise<Verdict> {
    return this.transact({ table, pk, set: values });
  }

  delete(table: string, pk: readonly SqlValue[]): Promise<Verdict> {
    return this.transact({ table, pk, delete: true });
  }

  /** Several writes as one transaction. */
  transact(...writes: readonly DeviceWrite[]): Promise<Verdict> {
    const { outcomes } = this.client;
    const { id, settled } = this.client.transact((tx) => {
      for (const write of writes) {
        const table = tx.table(write.table, { schema: write.schema });
        if ('delete' in write) table.delete(write.pk);
        else table.set(write.pk, write.set);
      }
    });
    return this.#answered(
      settled.then((state) =>
        toVerdict(
          state,
          outcomes.list().find((each) => each.id === id),
        ),
      ),
    );
  }

  /** Its rows of a table, as `[pk, values]`, in the order of their keys. */
  rows(
    table: string,
    schema = 'main',
  ): [pk: readonly SqlValue[], values: Readonly<Record<string, SqlValue>>][] {
    return this.client
      .table<Record<string, SqlValue>>(table, { schema })
      .all()
      .map(({ pk, row }) => [pk, row]);
  }

  /** All that it holds, by the JSON of schema, table and `pkIdentity`. */
  contents(): Record<string, Readonly<Record<string, SqlValue>>> {
    const rows = this.client
      .tables()
      .flatMap(({ schema, table }) =>
        this.rows(table, schema).map(([pk, values]): [string, typeof values] => [
          JSON.stringify([schema, table, pkIdentity(pk.map(encodeValue))]),
          values,
        ]),
      );
    return Object.fromEntries(rows);
  }

  /** Disconnects. Later writes wait until it comes back. */
  async goOffline(): Promise<void> {
    const socket = this.#socket;
    this.client.disconnect();
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return;
    await once(socket, 'close');
  }

  /**
   * Connects, sends what waits, and fetches what it has missed.
   * @throws what the coordinator says, if it is not let in, or what keeps it from coming
   */
  comeBack(): Promise<void> {
    const before = this.#coming;
    this.#coming = before.catch(() => undefined).then(() => this.#comeBack());
    return this.#coming;
  }

  async #comeBack(): Promise<void> {
    await this.client.ready;
    await this.goOffline();
    this.client.connect();
    try {
      await this.#live();
    } catch (cause) {
      this.client.disconnect();
      throw cause;
    }
  }

  /**
   * Resolves once its writes have been answered, and it has fetched all that the coordinator has
   * for it: on another connection, whose first question is for that.
   */
  async synced(): Promise<void> {
    await this.#live();
    await this.comeBack();
  }

  /** Resolves once it is online and its writes have been answered. */
  #live(): Promise<void> {
    const { client } = this;
    let end = () => {};
    const live = new Promise<void>((resolve, reject) => {
      const look = () => {
        const { connection, pending, error } = client.status;
        if (this.isOnline && pending === 0) resolve();
        if (['stopped', 'refused', 'waiting'].includes(connection)) {
          reject(error ?? new Error('the device is offline'));
        }
      };
      end = client.subscribeStatus(look);
      look();
    });
    return this.#answered(live).finally(() => end());
  }

  /** Sends newer credentials on the open connection, and uses them for later ones. */
  authenticate(token: string): void {
    this.client.setToken(token);
  }

  /** Ends without closing its connection, as when its battery is empty. */
  destroy(): void {
    this.#socket?.terminate();
    void this.client.close();
  }
}

function toVerdict(state: Fate, outcome: Outcome | undefined): Verdict {
  const { code, reason, changes = [] } = outcome ?? {};
  const rejected = changes.filter(({ winner }) => winner === undefined);
  return {
    state,
    outcome,
    rejected:
      state === 'rejected'
        ? rejected.map((change) => ({
            ...change,
            code: change.code ?? code,
            reason: change.reason ?? reason,
          }))
        : [],
  };
}
