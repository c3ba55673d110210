/** Which filters of `debug` are about this program. */

const OWN_PREFIXES = ['sync-coordinator:', 'quereus:sync:'];

/** One of each form that the namespaces of this program have. */
const OWN_NAMESPACES = [
  ...['auth', 'hooks', 'http', 'server', 'service', 'storage', 'ws'].map(
    (name) => `sync-coordinator:${name}`,
  ),
  'sync-coordinator:hook:name',
  'quereus:sync:manager',
].flatMap((name) => [name, `${name}:warn`, `${name}:error`]);

/**
 * Whether a `debug` filter switches on some of ours: by their prefix, or by a pattern that fits one of them. One that
 * is of another program (`*:query`, `app:*`) is not about this one. That it excludes some is another matter.
 */
export function namesOurs(filter: string): boolean {
  return filter
    .split(/[\s,]+/)
    .filter((name) => name !== '' && !name.startsWith('-'))
    .some(
      (name) =>
        OWN_PREFIXES.some((prefix) => name.startsWith(prefix)) ||
        (name.includes('*') && OWN_NAMESPACES.some((own) => fits(own, name.split('*')))),
    );
}

/** @param parts of a pattern, between its asterisks */
function fits(text: string, parts: readonly string[]): boolean {
  const [first = '', ...rest] = parts;
  const last = rest.pop() ?? '';
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
