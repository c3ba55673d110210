/** A hook's answer is invalid. The message says what is wrong, and where. */
export class InvalidAnswer extends Error {
  override readonly name = 'InvalidAnswer';
}

export function demand(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvalidAnswer(message);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
