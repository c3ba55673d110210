import assert from 'node:assert/strict';
import { test } from 'node:test';
import service from '../../plugins/service.ts';
import { ConfigError } from '../../src/errors/config-error.ts';
import { CoordinatorService } from '../../src/service/coordinator-service.ts';
import { temporaryDirectory } from '../support/server.ts';
import { assertNeeds } from './bare-app.ts';
import { appWithService } from './service-app.ts';

test('it needs the configuration, the metrics and the hooks', async (t) => {
  await assertNeeds(t, service, 'sync-coordinator-service', [
    'sync-coordinator-config',
    'sync-coordinator-metrics',
    'sync-coordinator-auth',
  ]);
});

test('the service stands on the storage that the configuration names', async (t) => {
  const app = await appWithService(t);
  assert.ok(app.coordinator instanceof CoordinatorService);
  assert.equal(app.coordinator.config, app.coordinatorConfig);
  assert.equal(app.coordinator.metrics, app.coordinatorMetrics);
  assert.match(app.storageDescription, /memory/);
  assert.equal(app.coordinator.status().openStores, 0, 'no database is open before it is needed');
  assert.ok(app.hasPlugin('sync-coordinator-service'));
});

test('a storage that nobody knows fails the registration', async (t) => {
  await assert.rejects(appWithService(t, { storage: 'floppy:a' }), ConfigError);
});

test('a data directory is one coordinator’s, until that is closed', async (t) => {
  const storage = `leveldb:${temporaryDirectory()}`;
  const first = await appWithService(t, { storage });
  await first.coordinator.acquire('db');
  await assert.rejects(appWithService(t, { storage }), { code: 'STORE_LOCKED' });
  await first.close();
  const second = await appWithService(t, { storage });
  (await second.coordinator.acquire('db')).release();
  await second.close();
});

test('while it stops, requests are refused with a code', async (t) => {
  const app = await appWithService(t);
  app.get('/', async () => 'hello');
  assert.equal((await app.inject('/')).body, 'hello');
  await app.coordinator.settle(1000);
  const response = await app.inject('/');
  assert.equal(response.statusCode, 503);
  assert.equal(response.json().error.code, 'SHUTTING_DOWN');
  assert.ok(response.headers['retry-after']);
});

test('closing the app closes the databases, and a notify hook has its time first', async (t) => {
  const gone: string[] = [];
  const app = await appWithService(
    t,
    {},
    {
      async onClientDisconnect({ userId }, { signal }) {
        await new Promise(setImmediate);
        gone.push(`${userId} ${signal.aborted ? 'given up' : 'told'}`);
      },
    },
  );
  const { coordinator } = app;
  await coordinator.acquire('db');
  const ann = { userId: 'ann', siteId: new Uint8Array(16) };
  coordinator.hooks.takeOver([ann]);
  coordinator.hooks.clientDisconnect(ann);
  await app.close();
  assert.deepEqual(gone, ['ann told']);
  assert.equal(coordinator.status().openStores, 0);
  await assert.rejects(coordinator.acquire('db'), { code: 'SHUTTING_DOWN' });
});
