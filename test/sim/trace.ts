/** What of a simulation is printed: everything that is said and holds a text, to see where it went. */

let wanted: string | undefined;

export function traceOnly(text: string | undefined): void {
  wanted = text;
}

export function trace(nowMs: number, what: string, said: string): void {
  if (wanted === undefined) return;
  const at = said.indexOf(wanted);
  if (at < 0) return;
  const around = said.slice(Math.max(0, at - 200), at + 200);
  process.stdout.write(`${(nowMs % 1e8).toFixed(1)} ${what} ${said.slice(0, 90)} … ${around}\n`);
}
