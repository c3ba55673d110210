/** A page of React components that count how often each is rendered. */

import { memo, StrictMode } from 'react';
import { createRoot, hydrateRoot } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { createSyncClient } from '../../../src/index.ts';
import {
  SyncProvider,
  useOutcomes,
  useRow,
  useRowStatus,
  useSyncClient,
  useSyncStatus,
  useTable,
} from '../../../src/react/index.ts';
import { memoryStore } from '../../../src/stores/memory.ts';

interface Task {
  title: string;
}

/** How often each component was rendered; StrictMode renders twice. */
const renders: Record<string, number> = {};

function count(name: string): void {
  renders[name] = (renders[name] ?? 0) + 1;
}

const Row = memo(function Row({ id }: { id: number }) {
  count(`row ${id}`);
  const task = useRow<Task>('tasks', [id]);
  const { isPending, outcomes } = useRowStatus('tasks', [id]);
  return (
    <li id={`task-${id}`} data-pending={isPending} data-outcomes={outcomes.length}>
      {task?.title}
    </li>
  );
});

function List() {
  count('list');
  const rows = useTable<Task>('tasks');
  return (
    <ul>
      {rows.map(({ pk: [id] }) => (
        <Row key={Number(id)} id={Number(id)} />
      ))}
    </ul>
  );
}

function Status() {
  count('status');
  const { connection, pending } = useSyncStatus();
  return (
    <output id="status">
      {connection}, {pending} pending
    </output>
  );
}

function Outcomes() {
  count('outcomes');
  const client = useSyncClient();
  return (
    <ul id="outcomes">
      {useOutcomes().map((outcome) => (
        <li key={outcome.id}>
          {outcome.reason}
          <button
            type="button"
            onClick={() => {
              for (const { pk } of outcome.changes) {
                client.transact((tx) => {
                  tx.table<Task>('tasks').set(pk, { title: 'mended' });
                });
              }
              outcome.dismiss();
            }}
          >
            Mend
          </button>
        </li>
      ))}
    </ul>
  );
}

function App() {
  return (
    <StrictMode>
      <SyncProvider client={window.client}>
        <Status />
        <List />
        <Outcomes />
      </SyncProvider>
    </StrictMode>
  );
}

const page = {
  renders,
  async connect(url: string, isConnected = true) {
    window.client = createSyncClient({ url, store: memoryStore(), connect: isConnected });
    await window.client.ready;
  },
  show() {
    createRoot(document.body).render(<App />);
  },
  /** As a server gives it, which knows nothing of the replica. */
  takeOver(): string {
    const html = renderToString(<App />);
    document.body.innerHTML = html;
    hydrateRoot(document.body, <App />, {
      onRecoverableError(error) {
        throw error;
      },
    });
    return html;
  },
};

declare global {
  interface Window {
    react: typeof page;
  }
}

window.react = page;
