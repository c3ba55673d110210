/** The keys of rows, which are remembered from one cell to the next. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pkIdentity } from '../../../src/protocol/values.ts';
import { holds } from '../../../test/support/runs.ts';
import { rowKeyOf, tableKeyOf } from '../src/replica/entries.ts';

const member = fc.constantFrom<unknown>(1, '1', 0, -0, null, true, { a: 1 }, { __bigint: '1' });

test('a row has the key of its table and primary key, whichever row was before it', () => {
  const row = fc.record({
    schema: fc.constantFrom('main', 'other'),
    table: fc.constantFrom('a', 'b'),
    pk: fc.array(member, { maxLength: 2 }),
  });
  holds(
    fc.property(fc.array(row, { maxLength: 30 }), (rows) => {
      for (const { schema, table, pk } of rows) {
        const key = `${tableKeyOf(schema, table)}/${pkIdentity(pk)}`;
        assert.equal(rowKeyOf({ schema, table, pk }), key);
      }
    }),
    200,
  );
});
