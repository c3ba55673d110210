/**
 * The protocol over HTTP, for networks in which WebSockets are blocked: answers as a socket would, and
 * polls for what others write.
 */

import { WS_SHUTTING_DOWN } from '../../../../src/protocol/close-codes.ts';
import type { Transport } from '../environment.ts';
import { type HttpOptions, HttpSocket } from './http-socket.ts';

export type { HttpOptions } from './http-socket.ts';
export type { Fetch } from './requests.ts';

/** Only HTTP. What others write comes by polling. */
export function httpTransport(options: HttpOptions = {}): Transport {
  return (url, environment) => new HttpSocket(url, environment, options);
}

/**
 * A WebSocket, and HTTP where two in a row brought nothing although HTTP is answered. Later a WebSocket
 * is tried again.
 */
export function autoTransport(options: HttpOptions = {}): Transport {
  /** WebSockets in a row that brought nothing. */
  let failures = 0;
  const openHttp: Transport = (url, environment) => {
    // Where HTTP is not answered either, it is WebSocket's turn again.
    failures = 1;
    const http = new HttpSocket(url, environment, options, () => {
      failures = 2;
    });
    const probe = () => {
      const socket = environment.openSocket(url);
      socket.onerror = () => undefined;
      socket.onclose = () => http.after(retryMs, probe);
      socket.onopen = () => {
        socket.onclose = null;
        socket.close();
        failures = 0;
        http.end(WS_SHUTTING_DOWN, 'a WebSocket can be had');
      };
    };
    const { retryMs = 300_000 } = options;
    http.after(retryMs, probe);
    return http;
  };
  return (url, environment) => {
    if (failures >= 2) return openHttp(url, environment);
    failures++;
    const socket = environment.openSocket(url);
    socket.addEventListener?.('message', () => {
      failures = 0;
    });
    return socket;
  };
}
