/** A map with keys (schema, table). It has two levels, so that no joint key has to be made. */

export class NameMap<Value> {
  readonly #bySchema = new Map<string, Map<string, Value>>();

  get(schema: string, table: string): Value | undefined {
    return this.#bySchema.get(schema)?.get(table);
  }

  set(schema: string, table: string, value: Value): void {
    const tables = this.#bySchema.get(schema);
    if (tables === undefined) this.#bySchema.set(schema, new Map([[table, value]]));
    else tables.set(table, value);
  }

  *values(): Generator<Value> {
    for (const tables of this.#bySchema.values()) yield* tables.values();
  }

  copy(): NameMap<Value> {
    const copy = new NameMap<Value>();
    for (const [schema, tables] of this.#bySchema) copy.#bySchema.set(schema, new Map(tables));
    return copy;
  }
}
