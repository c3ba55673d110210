/**
 * JSON that a person wrote. What is wrong with it is told by its place alone: a parser quotes what
 * stands around it, which may be a token.
 */
export function parseJsonFile(text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (error) {
    throw new Error(`is not valid JSON${placeOf(error, text)}`);
  }
}

/** Not every message of the parser's says where. */
function placeOf(error: unknown, text: string): string {
  const { message } = error instanceof Error ? error : { message: '' };
  const [, position] = / at position (\d+)/.exec(message) ?? [];
  if (position === undefined) return '';
  const lines = text.slice(0, Number(position)).split('\n');
  return `: line ${lines.length}, column ${(lines.at(-1) ?? '').length + 1}`;
}
