/** The client of this window, and what the app keeps. */

import { createSyncClient } from '@sync-coordinator/client';
import { indexedDbStore } from '@sync-coordinator/client/indexeddb';
import { USERS } from '../users.ts';

export interface List {
  title: string;
  owner: string;
  madeAt: number;
}

export interface Task {
  list: string;
  title: string;
  done: boolean;
  owner: string;
  madeAt: number;
}

/** A device that is online writes its row again and again. */
export interface Device {
  owner: string;
  seenAt: number;
}

const asked = new URLSearchParams(location.search).get('user');
export const user = USERS.find(({ name }) => name === asked) ?? USERS[0];
export const others = USERS.filter(({ name }) => name !== user.name);

/** The switch in the page stays as it is when the page is reloaded. */
const OFFLINE = 'isOffline';

export const client = createSyncClient({
  url: `${location.origin.replace(/^http/, 'ws')}/sync/ws`,
  databaseId: 'todo',
  token: user.token,
  // Each user is a device of its own here, also in one browser.
  store: indexedDbStore(`todo-${user.name}`),
  connect: sessionStorage.getItem(OFFLINE) === null,
});

export function setOffline(isOffline: boolean): void {
  if (isOffline) {
    sessionStorage.setItem(OFFLINE, 'yes');
    client.disconnect();
  } else {
    sessionStorage.removeItem(OFFLINE);
    client.connect();
  }
}

export function addList(title: string): string {
  const id = crypto.randomUUID();
  const list = { title, owner: user.name, madeAt: Date.now() };
  client.transact((tx) => tx.table<List>('lists').set([id], list));
  return id;
}

export function addTask(list: string, title: string): void {
  const task = { list, title, done: false, owner: user.name, madeAt: Date.now() };
  client.transact((tx) => tx.table<Task>('tasks').set([crypto.randomUUID()], task));
}

export function editTask(id: string, values: Partial<Task>): void {
  client.transact((tx) => tx.table<Task>('tasks').set([id], values));
}

export function deleteTask(id: string): void {
  client.transact((tx) => tx.table('tasks').delete([id]));
}
