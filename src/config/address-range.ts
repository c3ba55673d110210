/** What Fastify takes for `trustProxy`, checked here so that a fault of it is told with its source. */

import { isIP } from 'node:net';

const NAMED_RANGES: readonly string[] = ['loopback', 'linklocal', 'uniquelocal'];

/** Whether it is an IP address, a range of them in the manner of `10.0.0.0/8`, or one that has a name. */
export function isAddressRange(text: string): boolean {
  if (NAMED_RANGES.includes(text)) return true;
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  if (prefix === undefined) return true;
  return /^[0-9]{1,3}$/.test(prefix) && Number(prefix) >= 1 && Number(prefix) <= bitsOf(version);
}

function bitsOf(version: number): number {
  return version === 4 ? 32 : 128;
}
