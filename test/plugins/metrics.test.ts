import assert from 'node:assert/strict';
import { test } from 'node:test';
import metrics from '../../plugins/metrics.ts';
import { bareApp } from './bare-app.ts';

test('two coordinators in one process count apart', async (t) => {
  const [one, other] = [bareApp(t), bareApp(t)];
  await one.register(metrics);
  await other.register(metrics);
  one.coordinatorMetrics.changesPushed.inc(5);
  assert.ok(one.hasPlugin('sync-coordinator-metrics'));
  assert.match(await one.coordinatorMetrics.registry.metrics(), /^sync_changes_pushed_total 5$/m);
  assert.match(await other.coordinatorMetrics.registry.metrics(), /^sync_changes_pushed_total 0$/m);
});
