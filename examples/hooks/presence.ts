/**
 * Who is online, database by database. Ask for it with `GET /presence` in a server of your own:
 *
 *     server.app.get('/presence', () => online());
 *
 * onClientDisconnect is told of everybody that onClientConnect was asked about, with the same object; after a
 * reload onClientHandover tells who is there already.
 */

import { type ClientIdentity, defineHooks } from 'sync-coordinator';

const clients = new Set<ClientIdentity>();

/** The users of each database, without those who are nobody in particular. */
export function online(): Record<string, string[]> {
  const users: Record<string, Set<string>> = {};
  for (const { databaseId = '', userId } of clients) {
    if (userId === undefined) continue;
    users[databaseId] ??= new Set();
    users[databaseId].add(userId);
  }
  return Object.fromEntries(Object.entries(users).map(([id, names]) => [id, [...names].sort()]));
}

export default defineHooks({
  name: 'presence',
  hooks: {
    onClientConnect(client) {
      clients.add(client);
      return true;
    },
    onClientHandover(client) {
      clients.add(client);
    },
    onClientDisconnect(client) {
      clients.delete(client);
    },
  },
});
