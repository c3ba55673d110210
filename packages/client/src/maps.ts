/** Maps whose members come and go by themselves. */

/** @returns the member, which is made where there is none */
export function memberOf<K, V>(
  map: { get(key: K): V | undefined; set(key: K, value: V): unknown },
  key: K,
  make: () => V,
): V {
  let member = map.get(key);
  if (member === undefined) {
    member = make();
    map.set(key, member);
  }
  return member;
}

/** @param value `undefined` to take it away. @returns whether something has changed */
export function setIn<K, V>(map: Map<K, V>, key: K, value: V | undefined): boolean {
  if (value === undefined) return map.delete(key);
  map.set(key, value);
  return true;
}

export function addTo<K, V>(sets: Map<K, Set<V>>, key: K, member: V): void {
  memberOf(sets, key, () => new Set<V>()).add(member);
}
