/** Longer reasons quote what they complain of. */
const REASON_LENGTH_MAX = 300;

/** A line of a picture of the code, or an empty one. */
const CODE_FRAME = /^(?:>? *(?:\d+ *)?\|.*)?$/;

/** Why a module or file could not be loaded, on one line. */
export function failureToReason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const lines = message.split('\n').map((line) => line.trim());
  const [firstLine = '', secondLine = ''] = lines.filter((line) => !CODE_FRAME.test(line));
  // esbuild counts its errors first and says where and what on the second line.
  if (firstLine.startsWith('Transform failed')) return secondLine;
  // JSON's says which file it was first, and what is wrong with it below.
  if (!firstLine.endsWith(':')) return firstLine;
  return `${firstLine} ${secondLine}`.slice(0, REASON_LENGTH_MAX);
}
