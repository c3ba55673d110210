/**
 * Admits the client of an HTTP request before its body is read, and ends it when its credentials
 * are no longer good.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ClientGone } from '../src/errors/client-gone.ts';
import { type SyncError, toSyncError } from '../src/errors/sync-error.ts';
import type { ClientIdentity } from '../src/hooks/types.ts';
import type { Reader } from '../src/service/access/rights.ts';
import { holderOf } from '../src/service/budgets/budget.ts';
import { assertDatabaseId } from '../src/storage/database-id.ts';
import { sendError } from './errors.ts';

/** How long a request that is ended has to answer by itself, before it is cut. */
const END_GRACE_MS = 900;

export interface HttpClient {
  identity: ClientIdentity;
  /** The reader of what is sent to it. */
  reader: Reader;
  /** The database that it asks for. */
  databaseId: string;
  /** The user or address whose share it counts for. */
  holder: string;
  /**
   * Aborted when the client disconnects before its answer, or its credentials are no longer good.
   */
  signal: AbortSignal;
  /** @throws SyncError when the client may no longer be served, for instance AUTH_EXPIRED */
  demandValid(): Promise<void>;
}

/** @throws SyncError INVALID_DATABASE_ID, or why the client is not admitted */
export async function admitClient(
  { coordinator: service, readCredentials }: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
  databaseId: string,
): Promise<HttpClient> {
  assertDatabaseId(databaseId);
  const credentials = readCredentials(request, databaseId);
  let leave = () => {};
  // One listener for both: more than ten make Node.js warn of a leak.
  const gone = goneController(reply, () => leave());
  const { signal } = gone;
  const identity = await service.admission.authenticate(credentials, signal);
  const end = (reason: SyncError) => {
    gone.abort(reason);
    const cut = () => {
      const { raw } = reply;
      if (raw.destroyed || raw.writableFinished) return;
      // The headers have been sent, and a reader that takes nothing cannot be told.
      if (raw.headersSent) raw.destroy();
      else {
        // Work without the signal goes on, and its result is dropped.
        service.metrics.errorSent(reason);
        sendError(reply, reason);
      }
    };
    setTimeout(cut, END_GRACE_MS).unref();
  };
  let rechecked: Promise<void> | undefined;
  // Modules that were replaced meanwhile may have accepted a token that is no longer good.
  const askAgain = async () => {
    while (!service.clients.isCurrent(client.identity)) {
      client.identity = await service.admission.recheck(client.identity, credentials, signal);
    }
  };
  const demandCurrent = () => {
    rechecked ??= askAgain().finally(() => {
      rechecked = undefined;
    });
    return rechecked;
  };
  const recheck = () => demandCurrent().catch((error: unknown) => end(toSyncError(error)));
  const client = { identity, end, recheck };
  service.clients.add(client);
  leave = () => service.clients.delete(client);
  const demandValid = async () => {
    signal.throwIfAborted();
    if (!service.clients.isCurrent(client.identity)) await demandCurrent();
    service.clients.refuseExpired(client.identity);
  };
  const holder = holderOf(identity, request.ip);
  return {
    get identity() {
      return client.identity;
    },
    reader: { who: () => client.identity, demandCurrent },
    ...{ databaseId, holder, signal, demandValid },
  };
}

/** Runs `work` when the answer has been sent or the client has gone; at once if that was before. */
export function onceClosed({ raw }: FastifyReply, work: () => void): void {
  if (raw.destroyed) work();
  else raw.once('close', work);
}

/**
 * Aborted when the client disconnects before its answer. (The request itself closes once its body
 * is read.)
 * @param closed called in any case
 */
function goneController(reply: FastifyReply, closed: () => void): AbortController {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    closed();
    if (!reply.raw.writableFinished) controller.abort(new ClientGone());
  });
  return controller;
}
