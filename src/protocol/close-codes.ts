/** The close codes of a WebSocket, which `docs/protocol.md` explains. */

export const WS_CLOSE = {
  shuttingDown: 1001,
  protocolError: 1002,
  policy: 1008,
  tooBig: 1009,
  tryAgain: 1013,
  authFailed: 4001,
  versionMismatch: 4003,
} as const;
