/**
 * Which offers of permessage-deflate (RFC 7692) are accepted: those that leave this side the whole window. `ws`
 * refuses the upgrade for an offer that is not acceptable; here such a client goes on without compression.
 */

const WINDOW_BITS: ReadonlySet<string> = new Set(['8', '9', '10', '11', '12', '13', '14', '15']);

/** @param offers the header `Sec-WebSocket-Extensions` of the request */
export function offersDeflate(offers: string): boolean {
  return offers.split(',').some(isAcceptable);
}

function isAcceptable(offer: string): boolean {
  const [name, ...parameters] = offer.split(';').map((part) => part.trim());
  if (name !== 'permessage-deflate') return false;
  const names = new Set<string>();
  return parameters.every((parameter) => {
    const [key = '', value, ...more] = parameter.split('=');
    if (names.has(key) || more.length > 0) return false;
    names.add(key);
    if (key === 'client_max_window_bits') return value === undefined || WINDOW_BITS.has(value);
    const isKnown = key === 'server_no_context_takeover' || key === 'client_no_context_takeover';
    return isKnown && value === undefined;
  });
}
