/** What is measured of the storage, where it tells. Its counts are its own, and read when asked. */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { StorageFigures, StoragePool } from '../storage/kv-store.ts';

export interface StoreSource {
  isUp(): Promise<boolean>;
  figures(): StorageFigures;
}

/** Registers what the figures have, as of now; what they have not is left out. */
export function exposeStore(registry: Registry, { isUp, figures }: StoreSource): void {
  const registers = [registry];
  const gauge = <Label extends string = never>(
    name: string,
    help: string,
    read: (gauge: Gauge<Label>) => void | Promise<void>,
    labelNames: Label[] = [],
  ) => {
    const collect = function (this: Gauge<Label>) {
      return read(this);
    };
    new Gauge({ name: `sync_store_${name}`, help, labelNames, registers, collect });
  };
  const counter = (name: string, help: string, read: () => number) => {
    const collect = function (this: Counter) {
      this.reset();
      this.inc(read());
    };
    new Counter({ name: `sync_store_${name}`, help, registers, collect });
  };

  gauge('up', 'Whether the storage has just shown that it can be used: 1 or 0.', async (it) =>
    it.set((await isUp()) ? 1 : 0),
  );
  const { pools, notifications, transactions } = figures();
  if (pools !== undefined) {
    const each = (set: (pool: StoragePool) => void) => {
      for (const pool of figures().pools ?? []) set(pool);
    };
    gauge(
      'connections',
      'Connections to the storage, by pool and state.',
      (it) =>
        each(({ name, open, idle }) => {
          it.set({ pool: name, state: 'idle' }, idle);
          it.set({ pool: name, state: 'used' }, open - idle);
        }),
      ['pool', 'state'],
    );
    gauge(
      'connections_max',
      'The most connections that there may be, by pool.',
      (it) => each(({ name, max }) => it.set({ pool: name }, max)),
      ['pool'],
    );
    gauge(
      'connections_waiting',
      'What waits for a connection, by pool.',
      (it) => each(({ name, waiting }) => it.set({ pool: name }, waiting)),
      ['pool'],
    );
  }
  if (notifications !== undefined) {
    const now = () => figures().notifications;
    gauge(
      'notifications_connected',
      'Whether word of the commits of other processes can come: 1 or 0.',
      (it) => it.set(now()?.connected ? 1 : 0),
    );
    gauge(
      'notification_lag_seconds',
      'From a commit of this process until its own word of it came back, the last time; NaN when unknown.',
      (it) => it.set((now()?.lagMs ?? Number.NaN) / 1000),
    );
    counter(
      'notification_reconnects_total',
      'How often the connection that word comes over was made anew.',
      () => now()?.reconnects ?? 0,
    );
    counter(
      'notifications_missed_total',
      'Commits of other processes that were found by asking, since no word of them came.',
      () => now()?.missed ?? 0,
    );
  }
  if (transactions !== undefined) {
    const now = () => figures().transactions;
    counter(
      'transaction_retries_total',
      'Tries of a transaction after the first, for what the storage or the way to it did.',
      () => now()?.retries ?? 0,
    );
    counter(
      'commits_resolved_total',
      'Commits whose answer was lost, and of which it was found out whether they are there.',
      () => now()?.resolved ?? 0,
    );
  }
}
