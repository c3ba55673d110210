import type { Frame } from '../service/frames.ts';

/**
 * What a session needs of the socket that it talks through. `plugins/ws.ts` makes one
 * from a WebSocket; tests make one from an array.
 */
export interface SendQueue {
  /**
   * Queues one text message, in whatever pieces; after the socket has closed none.
   * @param taken called once the memory of the frame is needed no longer: it is written out, or never will be
   */
  send(frame: string | Frame, taken?: () => void): void;
  /** Answers a ping of the WebSocket protocol. Of several that wait the newest is. */
  pong(payload: Uint8Array): void;
  /** What is queued and not yet taken by the operating system. */
  readonly queuedBytes: number;
  /** Resolves once at most `bytes` are queued, or the socket has closed. */
  drained(bytes: number): Promise<void>;
  readonly isOpen: boolean;
  /** Stops and resumes taking messages from the peer. */
  pause(): void;
  resume(): void;
  /** The peer gets what is queued, and answers, if it does that soon. */
  close(code: number, reason: string): void;
  /** Tells the peer, and waits for nothing: for who has said nothing either. */
  closeNow(code: number, reason: string): void;
}
