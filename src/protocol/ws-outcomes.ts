/** What each error code does to a WebSocket connection. */

import { WS_CLOSE } from './close-codes.ts';
import type { ErrorCode } from './error-codes.ts';

export interface WsOutcome {
  /** Whether the client should give up for good. Never true for a condition that may pass. */
  fatal: boolean;
  /** The close code, if the error ends the connection at any time. */
  close?: number;
  /** The close code during the handshake, where each error ends the connection. */
  handshakeClose: number;
}

/** The connection goes on; a handshake ends with "try again". */
const passing = { fatal: false, handshakeClose: WS_CLOSE.tryAgain };
const refused = { fatal: false, handshakeClose: WS_CLOSE.policy };

export const WS_OUTCOMES: Record<ErrorCode, WsOutcome> = {
  AUTH_FAILED: { fatal: true, close: WS_CLOSE.authFailed, handshakeClose: WS_CLOSE.authFailed },
  AUTH_EXPIRED: { fatal: false, close: WS_CLOSE.authFailed, handshakeClose: WS_CLOSE.authFailed },
  NOT_AUTHENTICATED: refused,
  NOT_AUTHORIZED: refused,
  ALREADY_AUTHENTICATED: { fatal: true, handshakeClose: WS_CLOSE.policy },
  PROTOCOL_VERSION_MISMATCH: {
    fatal: true,
    close: WS_CLOSE.versionMismatch,
    handshakeClose: WS_CLOSE.versionMismatch,
  },
  INVALID_DATABASE_ID: { fatal: true, close: WS_CLOSE.policy, handshakeClose: WS_CLOSE.policy },
  UNKNOWN_MESSAGE: passing,
  MESSAGE_ERROR: passing,
  UNSUPPORTED_ENCODING: passing,
  TOO_LARGE: passing,
  APPLY_CHANGES_ERROR: passing,
  GET_CHANGES_ERROR: passing,
  SNAPSHOT_ERROR: passing,
  CLOCK_DRIFT: passing,
  SNAPSHOT_REQUIRED: passing,
  RATE_LIMITED: passing,
  HOOK_FAILED: passing,
  OVERLOADED: passing,
  SHUTTING_DOWN: passing,
  HANDSHAKE_TIMEOUT: { fatal: false, close: WS_CLOSE.policy, handshakeClose: WS_CLOSE.policy },
  REQUEST_TIMEOUT: passing,
  STORE_UNAVAILABLE: passing,
  STORE_LOCKED: passing,
  STORE_FORMAT: passing,
  STORE_DAMAGED: passing,
  NOT_FOUND: passing,
  INTERNAL_ERROR: passing,
};
