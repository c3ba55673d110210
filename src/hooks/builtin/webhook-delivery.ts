/**
 * Delivers one event to one endpoint, signed as in https://www.standardwebhooks.com. Only an answer
 * of 2xx counts as success.
 */

import { createHmac } from 'node:crypto';
import type { QueuedEvent } from './webhook-queue.ts';

export interface Endpoint {
  url: string;
  headers: Readonly<Record<string, string>>;
  secret: string;
  timeoutMs: number;
}

/** A delivery that did not succeed. */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError';
  /** When the endpoint wants the next attempt, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, retryAfterMs?: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

const SECRET_PREFIX = 'whsec_';

/** @param timestamp seconds since 1970 */
export function sign(secret: string, { id, body }: QueuedEvent, timestamp: number): string {
  const key = secret.startsWith(SECRET_PREFIX)
    ? Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64')
    : Buffer.from(secret);
  const hmac = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`);
  return `v1,${hmac.digest('base64')}`;
}

/** @throws DeliveryError, or what `fetch` throws */
export async function deliver(
  { url, headers, secret, timeoutMs }: Endpoint,
  event: QueuedEvent,
  signal: AbortSignal,
): Promise<void> {
  const timestamp = Math.floor(Date.now() / 1000);
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      ...headers,
      'content-type': 'application/json',
      'webhook-id': event.id,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': sign(secret, event, timestamp),
    },
    body: event.body,
    // The signed event is only for this endpoint, so redirects are not followed.
    redirect: 'manual',
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
  // The body is not needed, and would hold the connection while it is unread.
  await response.body?.cancel();
  if (response.ok) return;
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : undefined;
  throw new DeliveryError(`the answer was ${response.status}`, retryAfterMs);
}
