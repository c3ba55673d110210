/** Shows the app once the local data is there. */

import { SyncProvider } from '@sync-coordinator/client/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { beat } from './presence.tsx';
import { client, user } from './sync.ts';

document.title = `Todo – ${user.name}`;
const root = createRoot(document.querySelector('#app') ?? document.body);
try {
  await client.ready;
  beat();
  root.render(
    <StrictMode>
      <SyncProvider client={client}>
        <App />
      </SyncProvider>
    </StrictMode>,
  );
} catch (error) {
  root.render(<p role="alert">This device can't keep the tasks: {String(error)}</p>);
}
