/** What a session should answer: a model of the protocol as small as it can be said. */

import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type { Device } from '../../src/testing/device.ts';
import { Replica } from '../support/replica.ts';

export const CHANGES_MAX = 20;
export const BAD_TOKEN = 'bad';

/** A device as the model sees it. */
export interface Seat {
  device: Device;
  state: 'away' | 'new' | 'joined';
  /** What was acknowledged of its own, for sending again. */
  acknowledged: WireChangeSet[];
  /** The greatest position of an ordered answer, as a client keeps it. */
  watermark: string | undefined;
  checkpoint: Record<string, unknown> | undefined;
}

export interface Model {
  seats: Seat[];
  /** Everything that was accepted, merged. */
  stored: Replica;
}

export interface Answer {
  type: string;
  code?: string;
  fatal?: boolean;
  requestId?: string;
}

/** A message, what has to be said to it, and what it does to the model. */
export interface Step {
  message: object | string | Uint8Array;
  answer: Answer;
  /** The close code, where it ends the connection. */
  close?: number;
  /** Accepted for good once this has been answered. */
  accepted?: WireChangeSet;
  isRepeated?: boolean;
}

export function createModel(devices: Device[]): Model {
  const seats = devices.map((device): Seat => {
    const known = { watermark: undefined, checkpoint: undefined };
    return { device, state: 'away', acknowledged: [], ...known };
  });
  return { seats, stored: new Replica() };
}

const FATAL = new Set([
  'AUTH_FAILED',
  'PROTOCOL_VERSION_MISMATCH',
  'ALREADY_AUTHENTICATED',
  'INVALID_DATABASE_ID',
]);

export function refusal(code: string, requestId?: string): Answer {
  return { type: 'error', code, fatal: FATAL.has(code), requestId };
}

/** Only the handshake, a ping and what can't be read are heard of somebody who has not joined. */
export function unlessJoined(seat: Seat, answer: Answer, requestId?: string): Answer {
  return seat.state === 'joined' ? answer : refusal('NOT_AUTHENTICATED', requestId);
}
