/** Why a module could not be loaded, on one line. */
export function failureToReason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const [firstLine = '', secondLine = ''] = message.split('\n');
  // esbuild counts its errors first and says where and what on the second line.
  return firstLine.startsWith('Transform failed') ? secondLine : firstLine;
}
