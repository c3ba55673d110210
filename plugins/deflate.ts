/**
 * How messages are compressed over WebSocket (permessage-deflate, RFC 7692). `ws` agrees on it with the client; the
 * coordinator compresses and inflates by itself: see `MessageDeflater` and `MessageInflater`.
 */

import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { WebSocket } from 'ws';
import { offersDeflate } from '../src/sessions/deflate-offer.ts';
import type { MessageInflater } from '../src/sessions/message-inflater.ts';

const NAME = 'permessage-deflate';
const OFFERS = 'sec-websocket-extensions';

/** The terms: nothing is kept for a socket. `ws` compresses nothing, as from hooks that have the socket. */
export const DEFLATE = {
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  threshold: Number.POSITIVE_INFINITY,
};

/** Leaves `ws` an offer that it accepts, or none. */
export function replaceOffers(app: FastifyInstance): void {
  app.addHook('onRequest', ({ ws, raw: { headers } }, _reply, done) => {
    const offers = headers[OFFERS];
    if (ws && offers !== undefined) headers[OFFERS] = offersDeflate(offers) ? NAME : undefined;
    done();
  });
}

/** Whether compressing was agreed on with the client of a socket, on the terms above. */
export function deflates({ websocketServer }: FastifyInstance, socket: WebSocket): boolean {
  return websocketServer.options.perMessageDeflate === DEFLATE && socket.extensions === NAME;
}

/** `ws` has no option for this: what inflates belongs to the socket. */
export function inflateWith(inflater: MessageInflater, socket: WebSocket, rawSocket: Socket): void {
  const extensions: Record<string, object> = Reflect.get(socket, '_extensions') ?? {};
  const extension = extensions[NAME];
  if (extension === undefined || !('decompress' in extension)) {
    throw new TypeError('this version of ws inflates messages in another way');
  }
  Object.assign(extension, { decompress: inflater.decompress });
  rawSocket.once('close', () => inflater.close());
}
