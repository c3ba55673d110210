import type { SharedMessage } from '../service/delivery/announcement.ts';
import type { Frame } from '../service/delivery/frames.ts';

/**
 * What a session needs of its socket. `plugins/ws.ts` makes one from a WebSocket; tests make one
 * from an array.
 */
export interface SendQueue {
  /**
   * Queues one text message, in any number of pieces. Does nothing once the socket has closed.
   * @param taken called once the memory of the frame is free: it is written out, or never will be
   */
  send(frame: string | Frame, taken?: () => void): void;
  /** The same for a message that `MessageDeflater` has compressed, where the client takes that. */
  readonly sendDeflated?: ((frame: Frame, taken?: () => void) => void) | undefined;
  /** The same for what other sessions are sent as well. */
  sendShared(message: SharedMessage): void;
  /** Answers a ping of the WebSocket protocol. Of several that wait only the newest is answered. */
  pong(payload: Uint8Array): void;
  /** Bytes that are queued and not yet taken by the operating system. */
  readonly queuedBytes: number;
  /** Bytes that it has taken so far. */
  readonly takenBytes: number;
  /** Resolves once at most `bytes` are queued, or the socket has closed. */
  drained(bytes: number): Promise<void>;
  readonly isOpen: boolean;
  /** Stops and resumes taking messages from the peer. */
  pause(): void;
  resume(): void;
  /** Gives the peer a short time to take what is queued and to answer the close. */
  close(code: number, reason: string): void;
  /** Sends the close and waits for nothing. */
  closeNow(code: number, reason: string): void;
}
