/** Turns errors of a schema's validator into a place and a message. */

export interface PlacedFault {
  /** As in JavaScript: `changes[3].pk`; empty for the value itself. */
  place: string;
  message: string;
}

/** @param error one of TypeBox's validation errors */
export function toPlacedFault(error: object): PlacedFault {
  const path = String(Reflect.get(error, 'instancePath') ?? '');
  const place = path
    .split('/')
    .slice(1)
    .map((step) => (/^[0-9]+$/.test(step) ? `[${step}]` : `.${step}`))
    .join('');
  const message = String(Reflect.get(error, 'message') ?? 'is not of the right shape');
  return { place, message };
}
