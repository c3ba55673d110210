/** Metrics of the storage, which owns the counts. They are read when metrics are requested. */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { StorageFigures, StoragePool } from '../storage/kv-store.ts';

export interface StoreSource {
  isUp(): Promise<boolean>;
  figures(): StorageFigures;
}

/** Registers metrics for the figures that the storage has now. */
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

  gauge('up', 'Whether the storage has just proved usable: 1 or 0.', async (it) =>
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
      'The most connections that the storage may open, by pool.',
      (it) => each(({ name, max }) => it.set({ pool: name }, max)),
      ['pool'],
    );
    gauge(
      'connections_waiting',
      'Callers that wait for a connection, by pool.',
      (it) => each(({ name, waiting }) => it.set({ pool: name }, waiting)),
      ['pool'],
    );
  }
  if (notifications !== undefined) {
    const now = () => figures().notifications;
    gauge(
      'notifications_connected',
      'Whether notifications of commits by other processes can arrive: 1 or 0.',
      (it) => it.set(now()?.connected ? 1 : 0),
    );
    gauge(
      'notification_lag_seconds',
      'The time from the last commit of this process until its own notification came back; NaN if unknown.',
      (it) => it.set((now()?.lagMs ?? Number.NaN) / 1000),
    );
    counter(
      'notification_reconnects_total',
      'How often the connection for notifications was opened again.',
      () => now()?.reconnects ?? 0,
    );
    counter(
      'notifications_missed_total',
      'Commits of other processes that were found by polling, without a notification.',
      () => now()?.missed ?? 0,
    );
  }
  if (transactions !== undefined) {
    const now = () => figures().transactions;
    counter(
      'transaction_retries_total',
      'Attempts of a transaction after the first, since the storage or the network failed.',
      () => now()?.retries ?? 0,
    );
    counter(
      'commits_resolved_total',
      'Commits whose answer was lost, and that were then found to be there or not.',
      () => now()?.resolved ?? 0,
    );
  }
}
