/** Finding the name of a table in the text of DDL. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WordSearch } from '../../../src/engine/tables/word-search.ts';

/** Tries each place. */
function isNamedIn(text: string, word: string): boolean {
  const [where, what] = [text.toLowerCase(), word.toLowerCase()];
  const isOfWord = (char = '') => /[\p{L}\p{N}_$]/u.test(char);
  return [...where].some(
    (_, at) =>
      where.startsWith(what, at) && !isOfWord(where[at - 1]) && !isOfWord(where[at + what.length]),
  );
}

test('a word is found wherever it stands by itself, in any case, and nowhere else', () => {
  const unit = fc.constantFrom('a', 'B', 'b', ' ', '"', '_', 'é', 'Σ', '.', '7');
  const word = fc.string({ unit, minLength: 1, maxLength: 6 });
  const text = fc.string({ unit, maxLength: 40 });
  fc.assert(
    fc.property(word, text, (name, ddl) => {
      const search = new WordSearch(name);
      assert.equal(search.isIn(ddl), isNamedIn(ddl, name));
      const inside = `${ddl} ${name.toUpperCase()} ${ddl}`;
      assert.equal(search.isIn(inside), isNamedIn(inside, name));
    }),
  );
});

test('a text that is full of a word costs no more than any other', (t) => {
  const tests = t.mock.method(RegExp.prototype, 'test').mock;
  assert.equal(new WordSearch('σσσ').isIn('Σ'.repeat(10_000)), false);
  assert.ok(tests.callCount() < 10, `${tests.callCount()}`);
});
