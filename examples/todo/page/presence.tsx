/** Who is here: each device that is online says so in a row of its own, every so often. */

import { useSyncClient, useTable } from '@sync-coordinator/client/react';
import { useEffect, useState } from 'react';
import { client, type Device, user } from './sync.ts';

const BEAT_MS = 20_000;
/** Who has been silent for so long has gone. */
const GONE_MS = 50_000;

/** Offline nothing is said: it would be sent later, and wrong by then. */
export function beat(): void {
  let saidAt = 0;
  const say = () => {
    const isDue = Date.now() - saidAt >= BEAT_MS;
    if (client.status.connection !== 'live' || !isDue) return;
    saidAt = Date.now();
    client.transact((tx) =>
      tx.table<Device>('devices').set([client.siteId], { owner: user.name, seenAt: saidAt }),
    );
  };
  client.subscribeStatus(say);
  setInterval(say, BEAT_MS / 4);
}

/** The time, every so often. */
function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

export function Avatar({ name }: { name: string }) {
  return (
    <span className={`avatar ${name.toLowerCase()}`} title={name}>
      <span aria-hidden="true">{name.slice(0, 1)}</span>
      <span className="hidden">{name}</span>
    </span>
  );
}

export function Presence() {
  const devices = useTable<Device>('devices');
  const now = useNow(BEAT_MS / 4);
  const { siteId } = useSyncClient();
  const here = devices
    .filter(({ pk: [id], row }) => id !== siteId && now - row.seenAt < GONE_MS)
    .map(({ row }) => row.owner);
  const names = [...new Set([user.name, ...here])];
  return (
    <ul className="presence" aria-label="Who is here">
      {names.map((name) => (
        <li key={name}>
          <Avatar name={name} />
        </li>
      ))}
    </ul>
  );
}
