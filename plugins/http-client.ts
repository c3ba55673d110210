/** Who asks over HTTP: let in before a byte of the body is read, and for as long as its credentials hold. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type SyncError, toSyncError } from '../src/errors/sync-error.ts';
import type { ClientIdentity } from '../src/hooks/types.ts';
import { holderOf } from '../src/service/budget.ts';
import type { Reader } from '../src/service/rights.ts';
import { sendError } from './errors.ts';

/** How long a client whose credentials are no good any more gets to hear of it. */
const END_GRACE_MS = 900;

export interface HttpClient {
  identity: ClientIdentity;
  /** Of what is sent to it. */
  reader: Reader;
  /** That it asks for. */
  databaseId: string;
  /** Who is counted for what it takes. */
  holder: string;
  /** Aborted when it goes away unanswered, or when its credentials are no good any more. */
  signal: AbortSignal;
  /** Throws, with AUTH_EXPIRED for one, when it is not to be served any more. */
  demandValid(): Promise<void>;
}

/** @throws SyncError INVALID_DATABASE_ID, or why it is not let in */
export async function admitClient(
  { coordinator: service, readCredentials }: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
  databaseId: string,
): Promise<HttpClient> {
  service.checkDatabaseId(databaseId);
  const credentials = readCredentials(request, databaseId);
  const gone = goneController(reply);
  const { signal } = gone;
  const identity = await service.admission.authenticate(credentials, signal);
  const end = (reason: SyncError) => {
    gone.abort(reason);
    const cut = () => {
      const { raw } = reply;
      if (raw.destroyed || raw.writableFinished) return;
      // A reader that takes nothing would not be told before it does.
      if (raw.headersSent) raw.destroy();
      else {
        // What is still looking at it heeds no signal; what it comes to is nobody's any more.
        service.metrics.errorSent(reason);
        sendError(reply, reason);
      }
    };
    setTimeout(cut, END_GRACE_MS).unref();
  };
  let rechecked: Promise<void> | undefined;
  // Modules that have been replaced meanwhile may have let in who has no good token any more.
  const askAgain = async () => {
    while (!service.admission.isCurrent(client.identity)) {
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
  reply.raw.once('close', () => service.clients.delete(client));
  const demandValid = async () => {
    signal.throwIfAborted();
    if (!service.admission.isCurrent(client.identity)) await demandCurrent();
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

/** Does it when the answer has been taken, or nobody is there to take it: now, where that was before. */
export function onceClosed({ raw }: FastifyReply, work: () => void): void {
  if (raw.destroyed) work();
  else raw.once('close', work);
}

/** Resolves once what was given out of an answer so far has been taken but for a little, or nobody is there to take it. */
export async function drained({ raw }: FastifyReply): Promise<void> {
  // What a stream has just given out is on its way to there.
  await new Promise(setImmediate);
  if (raw.destroyed || !raw.writableNeedDrain) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      raw.off('drain', end).off('close', end);
      resolve();
    };
    raw.on('drain', end).on('close', end);
  });
}

/** Aborted when the client goes away unanswered. (A request itself closes once its body is read.) */
function goneController(reply: FastifyReply): AbortController {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller;
}
