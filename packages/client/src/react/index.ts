/**
 * The replica in React: each hook renders its component again when what it returns is another, and at
 * no other time. On a server, and while its HTML is taken over, there is no replica yet: tables are
 * empty there, and the status is that of a client that has not begun.
 */

import {
  createContext,
  createElement,
  type ReactNode,
  useCallback,
  useContext,
  useSyncExternalStore,
} from 'react';
import type { SyncClient } from '../client.ts';
import type { SyncStatus } from '../options.ts';
import type { Outcome } from '../outcomes.ts';
import type { RowStatus, Table, TableRow } from '../table.ts';
import type { Key } from '../transaction.ts';

const ClientContext = createContext<SyncClient | undefined>(undefined);

/** Gives a client to the hooks of all components below it. It neither makes nor closes it. */
export function SyncProvider(props: { client: SyncClient; children?: ReactNode }): ReactNode {
  return createElement(ClientContext.Provider, { value: props.client }, props.children);
}

/**
 * The client, for what writes.
 * @throws Error without a `SyncProvider` above
 */
export function useSyncClient(): SyncClient {
  const client = useContext(ClientContext);
  if (client === undefined) throw new Error('there is no <SyncProvider client={…}> above this');
  return client;
}

/** Where a table is: its `schema`, unless it is `main`. */
export interface TableOptions {
  schema?: string;
}

const nothing: readonly never[] = [];
const absent = () => undefined;
const none = () => nothing;
const noRowStatus: RowStatus = {
  isPending: false,
  pendingColumns: nothing,
  isDeletionPending: false,
  outcomes: nothing,
};
const notBegun: SyncStatus = {
  connection: 'stopped',
  pending: 0,
  lastSyncedAt: undefined,
  bootstrap: undefined,
  error: undefined,
  storeError: undefined,
  isLeader: false,
};

function useOfTable<T extends object, S>(
  name: string,
  options: TableOptions | undefined,
  read: (table: Table<T>) => S,
  readOnServer: () => S,
): S {
  const table = useSyncClient().table<T>(name, options);
  const subscribe = useCallback((listener: () => void) => table.subscribe(listener), [table]);
  return useSyncExternalStore(subscribe, () => read(table), readOnServer);
}

/** All rows of a table in the order of their keys. The same array until one of them changes. */
export function useTable<T extends object = Record<string, unknown>>(
  name: string,
  options?: TableOptions,
): readonly TableRow<T>[] {
  return useOfTable<T, readonly TableRow<T>[]>(name, options, (table) => table.all(), none);
}

/** A row; `undefined` if it is not there. The same object until it changes. */
export function useRow<T extends object = Record<string, unknown>>(
  name: string,
  pk: Key,
  options?: TableOptions,
): Readonly<T> | undefined {
  return useOfTable<T, Readonly<T> | undefined>(name, options, (table) => table.get(pk), absent);
}

/** What is known of the writes to a row: pending ones, and those that were not taken. */
export function useRowStatus(name: string, pk: Key, options?: TableOptions): RowStatus {
  return useOfTable(
    name,
    options,
    (table) => table.status(pk),
    () => noRowStatus,
  );
}

/** How the client stands to the server and to its store. */
export function useSyncStatus(): SyncStatus {
  const client = useSyncClient();
  const subscribe = useCallback(
    (listener: () => void) => client.subscribeStatus(listener),
    [client],
  );
  return useSyncExternalStore(
    subscribe,
    () => client.status,
    () => notBegun,
  );
}

/** Writes that were rejected or superseded, and not dismissed since; the oldest first. */
export function useOutcomes(): readonly Outcome[] {
  const { outcomes } = useSyncClient();
  const subscribe = useCallback((listener: () => void) => outcomes.subscribe(listener), [outcomes]);
  return useSyncExternalStore(subscribe, () => outcomes.list(), none);
}
