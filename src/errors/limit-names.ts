/**
 * The options that limit what clients may cost. `sync_limits_met_total` counts how often each was
 * met: a refusal carries the name of the limit, and where clients are only slowed down, that code
 * counts it.
 *
 * Other limits are not for clients: `limits.pageBytes` divides answers, `limits.pingMs` says when a
 * client is asked whether it is there, and `limits.shutdownMs` limits the time of a stop.
 */

export const COUNTED_LIMITS = [
  'limits.messageBytes',
  'limits.changesPerBatch',
  'limits.valuesPerMessage',
  'limits.valueBytes',
  'limits.rowBytes',
  'limits.rowBytesPerBatch',
  'limits.columnsPerRow',
  'limits.tablesPerDatabase',
  'limits.ddlBytesPerDatabase',
  'limits.catalogBytes',
  'limits.heldBytesPerSite',
  'limits.heldBytesPerDatabase',
  'limits.heldSitesPerDatabase',
  'limits.bytesInFlight',
  'limits.bytesInFlightPerClient',
  'limits.answerBytes',
  'limits.answerBytesPerClient',
  'limits.messagesInFlight',
  'limits.pipelinedRequests',
  'limits.messagesPerSecond',
  'limits.queuedBytesPerSocket',
  'limits.stalledMs',
  'limits.pongTimeoutMs',
  'limits.connections',
  'limits.sessions',
  'limits.snapshotStreams',
  'limits.sharePerUser',
  'limits.snapshotBytesPerSecond',
  'limits.unauthenticatedSockets',
  'limits.handshakeBytes',
  'limits.handshakeTimeoutMs',
  'limits.requestTimeoutMs',
  'limits.failedLoginsPerMinute',
  'storage.maxOpenDatabases',
  'storage.maxDatabases',
] as const;

export type LimitName = (typeof COUNTED_LIMITS)[number];
