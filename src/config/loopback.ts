/** Names and addresses of this machine that no other can be reached by. */

/** @param name a host name or an IP address, without a port */
export function isLoopback(name: string): boolean {
  const bare = name.toLowerCase().replace(/\.$/, '');
  return (
    bare === 'localhost' ||
    bare.endsWith('.localhost') ||
    bare === '::1' ||
    bare === '[::1]' ||
    /^127(?:\.\d{1,3}){3}$/.test(bare)
  );
}

/** @param host what a `Host` header holds: a name or an address, mostly with a port */
export function isLoopbackHost(host: string): boolean {
  return isLoopback(host.trim().replace(/:\d{1,5}$/, ''));
}
