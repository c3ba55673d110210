/** A simulated socket as the client sees it: the standard's interface, with somebody who listens in. */

import type { SocketLike } from '../../packages/client/src/environment.ts';
import type { Loop } from './loop.ts';
import type { SimSocket } from './network.ts';
import type { Nodes } from './nodes.ts';

export interface ClientSocketOptions {
  loop: Loop;
  nodes: Nodes;
  name: string;
  /** The client's process. */
  owner: string;
  sent(message: Record<string, unknown>): void;
  received(message: Record<string, unknown>): void;
  /** Whether the connection breaks before the client gets a message. */
  loses(message: Record<string, unknown>): boolean;
}

/** So long it takes to find out that nobody listens. */
const REFUSED_MS = 20;

export class ClientSocket implements SocketLike {
  onopen: SocketLike['onopen'] = null;
  onmessage: SocketLike['onmessage'] = null;
  onclose: SocketLike['onclose'] = null;
  onerror: SocketLike['onerror'] = null;
  readonly socket: SimSocket | undefined;
  readonly #options: ClientSocketOptions;
  #isOpen = false;
  #isDone = false;

  constructor(options: ClientSocketOptions) {
    this.#options = options;
    const { loop, nodes, name, owner } = options;
    this.socket = nodes.connect({
      name,
      onMessage: (message) => {
        if (this.#isDone) return;
        if (options.loses(message)) {
          this.socket?.cut();
          return;
        }
        options.received(message);
        this.onmessage?.({ data: JSON.stringify(message) });
      },
      onClose: (code) => this.#closed(code),
    });
    if (this.socket === undefined) loop.at(REFUSED_MS, () => this.#closed(1006), owner);
    else loop.at(0, () => this.#open(), owner);
  }

  get isOpen(): boolean {
    return this.#isOpen && !this.#isDone;
  }

  #open(): void {
    if (this.#isDone) return;
    this.#isOpen = true;
    this.onopen?.();
  }

  #closed(code: number): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.onclose?.({ code, reason: '' });
  }

  send(text: string): void {
    if (!this.isOpen) throw new Error('simulated: the socket is not open');
    const message = JSON.parse(text);
    this.#options.sent(message);
    this.socket?.tell(message);
  }

  close(): void {
    this.end();
  }

  /** Nothing is heard of it any more. */
  end(): void {
    this.#isDone = true;
    this.socket?.cut();
  }
}

/** A socket with somebody who listens in. */
export function listened(
  socket: SocketLike,
  { sent, received, loses }: Pick<ClientSocketOptions, 'sent' | 'received' | 'loses'>,
): SocketLike {
  const end: SocketLike = {
    ...{ onopen: null, onmessage: null, onclose: null, onerror: null },
    send: (text) => {
      sent(JSON.parse(text));
      socket.send(text);
    },
    close: () => socket.close(),
  };
  socket.onopen = () => end.onopen?.();
  socket.onclose = (event) => end.onclose?.(event);
  socket.onmessage = (event) => {
    const message = JSON.parse(String(event.data));
    if (loses(message)) {
      socket.close();
      end.onclose?.({ code: 1006, reason: '' });
      return;
    }
    received(message);
    end.onmessage?.(event);
  };
  return end;
}
