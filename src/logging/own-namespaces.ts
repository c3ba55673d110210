/** Which filters of `debug` are about this program. */

const OWN_NAMESPACES = ['sync-coordinator', 'quereus:sync'];

/** Whether a `debug` filter switches on some of ours, by name or by a pattern. That it excludes some is another matter. */
export function namesOurs(filter: string): boolean {
  return filter.split(/[\s,]+/).some((name) => {
    const [before = ''] = name.split('*', 1);
    const isPattern = before !== name;
    return OWN_NAMESPACES.some(
      (own) =>
        name === own || before.startsWith(`${own}:`) || (isPattern && own.startsWith(before)),
    );
  });
}
