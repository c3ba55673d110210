/**
 * Whom failed logins are put down to: the address that they come from. Who has IPv6 has 2^64
 * addresses at least, so there it is the network of that size.
 */

import type { IncomingHttpHeaders } from 'node:http';
import ipaddr from 'ipaddr.js';

export interface Origin {
  remoteAddress?: string | undefined;
  headers: IncomingHttpHeaders;
}

const NETWORK_BYTES = 8;
/** Where proxies and load balancers have their addresses. */
const INNER_RANGES = new Set([
  'loopback',
  'private',
  'uniqueLocal',
  'linkLocal',
  'carrierGradeNat',
]);
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-real-ip'] as const;

/** `undefined` where nobody can tell: all clients of a proxy that is not trusted have its address. */
export function sourceOf(origin: Origin): string | undefined {
  const { remoteAddress } = origin;
  return remoteAddress === undefined || isOfProxy(origin)
    ? undefined
    : addressToSource(remoteAddress);
}

/**
 * What of an address one client can't choose: who counts clients by their addresses, counts by this. All of IPv4,
 * and of IPv6 the network of 2^64 addresses; what is no address stays as it is.
 */
export function addressToSource(remoteAddress: string): string {
  if (!ipaddr.isValid(remoteAddress)) return remoteAddress;
  const address = ipaddr.process(remoteAddress);
  if (address.kind() === 'ipv4') return address.toString();
  const network = Buffer.from(address.toByteArray().slice(0, NETWORK_BYTES));
  return `${network.toString('hex')}::/64`;
}

/** A proxy that is not trusted to name its clients, or one client that makes itself look like one. */
export function unnamedProxyOf(origin: Origin): string | undefined {
  return isOfProxy(origin) ? origin.remoteAddress : undefined;
}

/** The address of a client, unless it is only that of a proxy which is not trusted to name it. */
export function clientAddressOf(origin: Origin): string | undefined {
  return isOfProxy(origin) ? undefined : origin.remoteAddress;
}

/**
 * An inner address passes something on, and its headers do not name it: where the proxy is trusted
 * the address was taken out of them. (Who adds such headers from outside stays whom it was.)
 */
function isOfProxy({ remoteAddress, headers }: Origin): boolean {
  if (remoteAddress === undefined || !ipaddr.isValid(remoteAddress)) return false;
  const forwarded = FORWARDED.map((name) => headers[name]).filter((value) => value !== undefined);
  if (forwarded.length === 0 || forwarded.join().includes(remoteAddress)) return false;
  return INNER_RANGES.has(ipaddr.process(remoteAddress).range());
}
