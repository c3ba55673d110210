/** The page: its head, the lists, the tasks of one, and what needs a decision. */

import { useSyncStatus, useTable } from '@sync-coordinator/client/react';
import { useState } from 'react';
import { Decisions } from './decisions.tsx';
import { TitleForm } from './form.tsx';
import { Presence } from './presence.tsx';
import { addList, type List, others, setOffline, user } from './sync.ts';
import { Tasks } from './tasks.tsx';

/** In the words of who uses it. */
function useSyncText(): { isLive: boolean; text: string } {
  const { connection, pending, bootstrap, storeError } = useSyncStatus();
  const isLive = connection === 'live' || connection === 'renewing';
  const waiting =
    pending === 0 ? '' : `, ${pending} ${pending === 1 ? 'change' : 'changes'} waiting`;
  if (storeError !== undefined) return { isLive: false, text: `Not kept: ${storeError.message}` };
  if (bootstrap !== undefined) {
    return { isLive, text: `Loading ${bootstrap.received} of ${bootstrap.total}` };
  }
  if (isLive) return { isLive, text: pending === 0 ? 'In sync' : 'Saving' };
  if (connection === 'refused') return { isLive, text: `Refused by the server${waiting}` };
  const isTrying = connection !== 'stopped' && connection !== 'offline';
  return { isLive, text: `${isTrying ? 'Connecting' : 'Offline'}${waiting}` };
}

function Head() {
  const { connection } = useSyncStatus();
  const { isLive, text } = useSyncText();
  const isOffline = connection === 'stopped';
  return (
    <header>
      <h1>Todo</h1>
      <Presence />
      <output className={isLive ? 'status live' : 'status'}>{text}</output>
      <button
        type="button"
        role="switch"
        aria-checked={isOffline}
        onClick={() => setOffline(!isOffline)}
      >
        Work offline
      </button>
      <p className="windows">
        You are {user.name}.{' '}
        {others.map(({ name }) => (
          <a key={name} href={`?user=${name}`} target="_blank" rel="noreferrer">
            Open a window as {name}
          </a>
        ))}
      </p>
    </header>
  );
}

export function App() {
  const lists = useTable<List>('lists').toSorted((a, b) => a.row.madeAt - b.row.madeAt);
  const [chosen, choose] = useState<string>();
  const list = lists.find(({ pk: [id] }) => id === chosen) ?? lists[0];
  return (
    <>
      <Head />
      <Decisions />
      <div className="columns">
        <nav aria-label="Lists">
          <ul>
            {lists.map((each) => (
              <li key={String(each.pk[0])}>
                <button
                  type="button"
                  aria-current={each === list}
                  onClick={() => choose(String(each.pk[0]))}
                >
                  {each.row.title}
                </button>
              </li>
            ))}
          </ul>
          <TitleForm label="New list" onAdd={(title) => choose(addList(title))} />
        </nav>
        <main>
          {list === undefined ? (
            <p>There is no list yet. Name one to begin.</p>
          ) : (
            <Tasks key={String(list.pk[0])} list={String(list.pk[0])} title={list.row.title} />
          )}
        </main>
      </div>
    </>
  );
}
