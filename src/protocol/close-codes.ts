/** The close codes of a WebSocket, which `docs/protocol.md` explains. */

/** Those that the client looks at stand alone: a bundler takes an object as a whole. */
export const WS_SHUTTING_DOWN = 1001;
export const WS_TOO_BIG = 1009;
export const WS_AUTH_FAILED = 4001;

export const WS_CLOSE = {
  shuttingDown: WS_SHUTTING_DOWN,
  protocolError: 1002,
  policy: 1008,
  tooBig: WS_TOO_BIG,
  tryAgain: 1013,
  authFailed: WS_AUTH_FAILED,
  versionMismatch: 4003,
} as const;
