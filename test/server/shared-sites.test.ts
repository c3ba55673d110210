import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedSites, type SiteSession } from '../../src/service/delivery/shared-sites.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';

test('two live sessions of one site id are counted, once a site and database', async (t) => {
  const { service, wsUrl } = await startServer(t);
  const { sharedSites } = service.sessions;
  const [device, other] = [new Device(1), new Device(2)];
  const join = (databaseId?: string) =>
    TestClient.join(wsUrl, { siteId: device.siteId, databaseId }, t);
  const first = await join();
  await TestClient.join(wsUrl, other, t);
  const elsewhere = await join('elsewhere');
  const second = await join();
  await second.apply(device.write({ pk: [1], set: { a: 1 } }));
  await elsewhere.apply(device.write({ pk: [1], set: { a: 1 } }));
  assert.equal(sharedSites.count, 0, 'the first one may be dead, as far as one knows');
  await first.apply(device.write({ pk: [2], set: { a: 1 } }));
  assert.equal(sharedSites.count, 1);
  await join();
  await first.apply(device.write({ pk: [3], set: { a: 1 } }));
  await second.apply(device.write({ pk: [4], set: { a: 1 } }));
  assert.equal(sharedSites.count, 1);
  await join('elsewhere');
  await elsewhere.changesSince();
  assert.equal(sharedSites.count, 2);
  assert.match(await service.metrics.registry.metrics(), /^sync_shared_site_ids_total 2$/m);
});

test('it is said with site and database; a device that comes back is none', () => {
  const warnings: unknown[] = [];
  const logger = Object.assign(() => {}, {
    warn: (_format: string, ...args: unknown[]) => warnings.push(args),
    error: () => {},
  });
  const sites = new SharedSites(logger);
  const session = (siteId: string, id: string): SiteSession => ({
    ...{ siteId, database: { id }, joinedAs: {} },
  });
  const [old, fresh] = [session('site', 'db'), session('site', 'db')];
  sites.add(old);
  sites.add(fresh);
  sites.heard(fresh);
  sites.delete(old);
  sites.heard(old);
  sites.heard(fresh);
  const third = session('site', 'db');
  sites.add(third);
  sites.delete(third);
  sites.heard(fresh);
  assert.deepEqual(warnings, []);
  sites.add(third);
  sites.heard(fresh);
  sites.heard(fresh);
  assert.deepEqual(warnings, [['site', 'db']]);
  assert.equal(sites.count, 1);
});
