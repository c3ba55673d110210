/**
 * The metrics, on a registry of the coordinator's own. Labels come only from fixed lists
 * (transports, operations, codes, hooks and their modules), never from clients.
 */

import { Counter, Gauge, Registry } from 'prom-client';
import { COUNTED_LIMITS, type LimitName } from '../errors/limit-names.ts';
import type { SyncError } from '../errors/sync-error.ts';
import { type Distribution, type LoginCounts, Tally } from './counts.ts';
import { gatheredCounter, gatheredHistogram } from './gathered-metrics.ts';
import { HookTimings } from './hook-timings.ts';

/** Figures that are read when metrics are requested. */
export interface Gauges {
  connections(): number;
  socketsUnauthenticated(): number;
  sessions(): number;
  openStores(): number;
  /** Bytes of memory. */
  catalogBytes(): number;
  logLength(): number;
  logChanges(): number;
  logChangesReplaced(): number;
  heldSites(): number;
  queuedBytes(): number;
  snapshotStreams(): number;
  positionAhead(): number;
  logPins(): number;
  logPinAge(): number;
  logPinLag(): number;
}

/** The counts of components. Each component owns its counts; here they are only read. */
export interface Counts {
  changes: Readonly<
    Record<'received' | 'applied' | 'skipped' | 'conflicting' | 'rejected', number>
  >;
  applySeconds: Distribution;
  batchSizes: Distribution;
  querySeconds: Distribution;
  maintenance: Readonly<Record<'changesCompacted' | 'tombstonesExpired' | 'logPinsLapsed', number>>;
  snapshots: Readonly<Record<'begun' | 'completed', number>>;
  logins: Readonly<Record<'websocket' | 'http', LoginCounts>>;
  sharedSites(): number;
}

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
  ) => new Counter({ name: `sync_${name}`, help, labelNames, registers });
  const requests = { websocket: new Tally<string>(), http: new Tally<string>() };
  const requestsTotal = {
    registry,
    name: 'sync_requests_total',
    help: 'Requested operations, by transport and kind.',
    labelNames: ['transport', 'operation'],
  } as const;
  gatheredCounter(requestsTotal, () =>
    Object.entries(requests).flatMap(([transport, counts]) =>
      [...counts].map(([operation, count]) => [{ transport, operation }, count] as const),
    ),
  );

  const errors = counter('errors_total', 'Errors that were sent to clients, by code.', ['code']);
  const limits = counter(
    'limits_met_total',
    'How often clients met a limit: they were refused, closed, or made to wait; by option.',
    ['limit'],
  );
  // All start at 0, so that the first event is visible as an increase.
  for (const limit of COUNTED_LIMITS) limits.inc({ limit }, 0);
  const limitMet = (limit: LimitName) => limits.inc({ limit });

  const hookTimings = new HookTimings(registry);

  return {
    registry,
    /** Registers gauges and counts, which are read when metrics are requested. */
    expose(gauges: Gauges, counts: Counts): void {
      for (const [key, [name, help]] of Object.entries(GAUGES)) {
        const read = gauges[key as keyof Gauges];
        const collect = function (this: Gauge) {
          this.set(read());
        };
        new Gauge({ name: `sync_${name}`, help, registers, collect });
      }
      exposeCounts(registry, counts);
    },
    /** Requests by kind. */
    requests,
    /** To be called for each error that is sent to a client. */
    errorSent({ code, limit }: Pick<SyncError, 'code' | 'limit'>): void {
      errors.inc({ code });
      if (limit !== undefined) limitMet(limit);
    },
    /** To be called if a client met a limit without an error. */
    limitMet,
    changesPushed: counter(
      'changes_pushed_total',
      'Change sets pushed, counted for each receiver.',
    ),
    /** Counts the calls of hooks. */
    hookObserver: hookTimings.observer,
    hookReloads: counter('hook_reloads_total', 'Reloads of the hook modules, by outcome.', [
      'outcome',
    ]),
    strayRejections: counter(
      'hook_stray_rejections_total',
      'Unhandled promise rejections, by the hook module that caused them.',
      ['module'],
    ),
    socketsStalled: counter(
      'sockets_stalled_total',
      'Sockets that were closed since their clients read nothing for limits.stalledMs.',
    ),
  };
}

function exposeCounts(registry: Registry, counts: Counts): void {
  const counter = (name: string, help: string, read: () => number) =>
    gatheredCounter({ registry, name: `sync_${name}`, help }, () => [[{}, read()]]);
  const histogram = (name: string, help: string, distribution: Distribution) =>
    gatheredHistogram({ registry, name: `sync_${name}`, help }, distribution);
  const { changes, maintenance, snapshots, logins } = counts;

  counter(
    'shared_site_ids_total',
    'Site ids that two live sessions of a database had, once each: neither saw what the other wrote.',
    () => counts.sharedSites(),
  );
  const whatOf = Object.entries(CHANGES) as [keyof Counts['changes'], string][];
  for (const [what, help] of whatOf) counter(`changes_${what}_total`, help, () => changes[what]);
  histogram(
    'apply_duration_seconds',
    'The time from the start of an apply until it is durable.',
    counts.applySeconds,
  );
  histogram('query_duration_seconds', 'The time to read one page of changes.', counts.querySeconds);
  histogram('batch_size_changes', 'Changes in one batch.', counts.batchSizes);
  counter(
    'changes_compacted_total',
    'Changes that were removed from logs, since later ones had replaced them.',
    () => maintenance.changesCompacted,
  );
  counter(
    'tombstones_expired_total',
    'Deletions that were forgotten, since sync.tombstoneTTL had passed.',
    () => maintenance.tombstonesExpired,
  );
  counter(
    'log_pins_lapsed_total',
    'Log pins that were removed, since they had not been renewed for sync.logPinMaxAgeMs.',
    () => maintenance.logPinsLapsed,
  );
  counter('snapshots_total', 'Snapshots that were begun.', () => snapshots.begun);
  counter(
    'snapshots_completed_total',
    'Snapshots that were sent to the end.',
    () => snapshots.completed,
  );
  const attempts = {
    registry,
    name: 'sync_auth_attempts_total',
    help: 'Attempts to authenticate, by transport.',
    labelNames: ['transport'],
  } as const;
  gatheredCounter(attempts, () =>
    Object.entries(logins).map(([transport, { attempts }]) => [{ transport }, attempts]),
  );
  const failures = {
    registry,
    name: 'sync_auth_failures_total',
    help: 'Attempts that were refused, by transport and code.',
    labelNames: ['transport', 'code'],
  } as const;
  gatheredCounter(failures, () =>
    Object.entries(logins).flatMap(([transport, { failures }]) =>
      [...failures].map(([code, count]) => [{ transport, code }, count] as const),
    ),
  );
}

const CHANGES: Record<keyof Counts['changes'], string> = {
  received: 'Changes and migrations received.',
  applied: 'Changes and migrations that took effect.',
  skipped: 'Changes that were known already.',
  conflicting: 'Changes that lost against a newer one.',
  rejected: 'Changes that a hook rejected.',
};

const GAUGES: Record<keyof Gauges, [name: string, help: string]> = {
  connections: ['connections', 'WebSockets that are open.'],
  socketsUnauthenticated: ['sockets_unauthenticated', 'WebSockets that have no handshake yet.'],
  sessions: ['sessions', 'WebSockets whose handshake is done.'],
  openStores: ['open_stores', 'Databases that are open.'],
  catalogBytes: [
    'catalog_bytes',
    'Memory that the tables, names and DDL of open databases take, about.',
  ],
  logLength: ['log_length_transactions', 'Transactions in the logs of the open databases.'],
  logChanges: ['log_changes', 'Changes and migrations in the logs of the open databases.'],
  logChangesReplaced: [
    'log_changes_replaced',
    'About how many of them later ones have replaced: compaction removes them.',
  ],
  heldSites: [
    'held_sites',
    'Devices of the open databases that are told one by one what is written late, since more of theirs was rejected than is kept.',
  ],
  queuedBytes: [
    'queued_bytes',
    'Bytes that wait to be sent over all sockets, and of HTTP answers that are being read or sent.',
  ],
  snapshotStreams: ['snapshot_streams', 'Snapshots that are being sent.'],
  positionAhead: [
    'position_ahead_seconds',
    'How far the newest position is ahead of the clock: 0 unless it was set back.',
  ],
  logPins: ['log_pins', 'Log pins of the open databases, as of their last maintenance.'],
  logPinAge: ['log_pin_age_seconds', 'The longest time since one of these log pins was renewed.'],
  logPinLag: [
    'log_pin_lag_seconds',
    'The age of the oldest change that is kept for these log pins, since their owners have yet to read it.',
  ],
};
