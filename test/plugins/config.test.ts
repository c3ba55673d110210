import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import config from '../../plugins/config.ts';
import { ConfigError } from '../../src/errors/config-error.ts';
import { bareApp } from './bare-app.ts';
import { testConfig } from './service-app.ts';

const VARIABLE = 'SYNC_BATCH_SIZE';

function setVariable(t: TestContext, value: string): void {
  const before = process.env[VARIABLE];
  process.env[VARIABLE] = value;
  t.after(() => {
    if (before === undefined) delete process.env[VARIABLE];
    else process.env[VARIABLE] = before;
  });
}

test('the plugins find the configuration that was given, and no other', async (t) => {
  setVariable(t, '7');
  const app = bareApp(t);
  const given = testConfig();
  await app.register(config, { config: given });
  assert.equal(app.coordinatorConfig, given);
  assert.ok(app.hasPlugin('sync-coordinator-config'));
});

test('without one it comes from the usual sources', async (t) => {
  setVariable(t, '7');
  const app = bareApp(t);
  await app.register(config);
  assert.equal(app.coordinatorConfig.sync.batchSize, 7);
});

test('a faulty source fails the registration, and says which', async (t) => {
  setVariable(t, 'many');
  const app = bareApp(t);
  await assert.rejects(
    async () => app.register(config),
    (error) => error instanceof ConfigError && error.message.includes(VARIABLE),
  );
});
