/**
 * The source of failed logins: the client's address. A client with IPv6 has at least 2^64
 * addresses, so there it is the network of that size.
 */

import type { IncomingHttpHeaders } from 'node:http';
import ipaddr from 'ipaddr.js';

export interface Origin {
  remoteAddress?: string | undefined;
  headers: IncomingHttpHeaders;
}

const NETWORK_BYTES = 8;
/** The ranges of addresses that proxies and load balancers have. */
const INNER_RANGES = new Set([
  'loopback',
  'private',
  'uniqueLocal',
  'linkLocal',
  'carrierGradeNat',
]);
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-real-ip'] as const;

/** As some proxies write it: in quotes or brackets, with a port. */
const DECORATED = /^"?(?:\[([^\]"]{1,64})\]|([0-9.]{7,15}))(?::[0-9]{1,5})?"?$/;

/**
 * As people write it: where the server listens on IPv6 as well, an address of IPv4 comes as
 * `::ffff:192.0.2.1`, and a proxy may have added the port. Text that is no address is returned
 * unchanged.
 */
export function plainAddress(text: string): string {
  const [, inBrackets, dotted] = DECORATED.exec(text) ?? [];
  const address = inBrackets ?? dotted ?? text;
  if (!ipaddr.isValid(address)) return text;
  return /^::ffff:/i.test(address) ? ipaddr.process(address).toString() : address;
}

/**
 * `undefined` if it is not known: all clients of a proxy that is not trusted have the proxy's
 * address.
 */
export function sourceOf(origin: Origin): string | undefined {
  const { remoteAddress } = origin;
  return remoteAddress === undefined || isOfProxy(origin)
    ? undefined
    : addressToSource(remoteAddress);
}

/**
 * The part of an address that a client can't choose, for counting clients: the whole IPv4 address,
 * and the /64 network of IPv6, however it is written. Text that is no address is returned unchanged.
 */
export function addressToSource(remoteAddress = ''): string {
  const plain = plainAddress(remoteAddress);
  if (!ipaddr.isValid(plain)) return plain;
  const address = ipaddr.process(plain);
  if (address.kind() === 'ipv4') return address.toString();
  const network = Buffer.from(address.toByteArray().slice(0, NETWORK_BYTES));
  return `${network.toString('hex')}::/64`;
}

/**
 * The address of a proxy that is not trusted to name its clients, or of a client that looks like
 * one.
 */
export function unnamedProxyOf(origin: Origin): string | undefined {
  return isOfProxy(origin) ? origin.remoteAddress : undefined;
}

/** The address of a client; `undefined` if only that of an untrusted proxy is known. */
export function clientAddressOf(origin: Origin): string | undefined {
  return isOfProxy(origin) ? undefined : origin.remoteAddress;
}

/**
 * Whether the address is a proxy's: it is an inner address, and the forwarding headers do not name
 * it. With a trusted proxy the address was taken from these headers. (A client from outside that
 * adds such headers keeps its own address.)
 */
function isOfProxy({ remoteAddress, headers }: Origin): boolean {
  if (remoteAddress === undefined || !ipaddr.isValid(remoteAddress)) return false;
  const forwarded = FORWARDED.map((name) => headers[name]).filter((value) => value !== undefined);
  if (forwarded.length === 0 || forwarded.join().includes(remoteAddress)) return false;
  return INNER_RANGES.has(ipaddr.process(remoteAddress).range());
}
