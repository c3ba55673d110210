import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addsOnly, ddlToActions } from '../../../src/hooks/ddl/actions.ts';
import { tablesInDdl } from '../../../src/hooks/ddl/tables.ts';
import { TableMap } from '../../../src/hooks/names/table-list.ts';

const ADDING = [
  '',
  'CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, "drop" TEXT NOT NULL) STRICT;',
  'create table if not exists main.notes(key text primary key, value any) without rowid, strict',
  "CREATE TABLE notes (a VARCHAR(20) DEFAULT 'drop; --', b DECIMAL(5, 2) DEFAULT -1.5, UNIQUE (a, b))",
  'CREATE TABLE notes (a, up REFERENCES notes (a) ON DELETE CASCADE, CHECK (length(a) < 9 AND a IN (1)))',
  "CREATE TABLE [notes] (`a` TIMESTAMP WITH TIME ZONE DEFAULT now(), b DEFAULT (datetime('now')))",
  'ALTER TABLE notes ADD COLUMN a INT',
  "ALTER TABLE IF EXISTS notes ADD a TEXT COLLATE NOCASE NOT NULL DEFAULT ''",
  'ALTER TABLE notes ADD a INT, ADD b INT NULL DEFAULT NULL',
  'BEGIN IMMEDIATE; CREATE INDEX i ON notes (a COLLATE BINARY DESC, b); COMMIT',
  'CREATE INDEX IF NOT EXISTS i ON "notes" ("a") WHERE deleted = 0 AND NOT (b IS NULL)',
  "CREATE INDEX i ON notes (a) WHERE a <> 'x' OR b BETWEEN 1 AND 2.5 OR (c IN (1, 2) AND d != 3 AND e <= f)",
  'CREATE INDEX i ON notes (a) WHERE a IS NOT NULL AND b IS TRUE',
  'ALTER TABLE notes ADD a INT DEFAULT -5, ADD b BOOLEAN NOT NULL DEFAULT false, ADD c REAL DEFAULT 1.5',
  "ALTER TABLE notes ADD a DEFAULT 'x', ADD b ANY DEFAULT 1, ADD c TEXT DEFAULT 1, ADD d BLOB DEFAULT NULL",
  "ALTER TABLE notes ADD a DATETIME DEFAULT '1970-01-01', ADD b VARCHAR(20) DEFAULT CURRENT_TIMESTAMP",
  "ALTER TABLE notes ADD a DOUBLE PRECISION DEFAULT 1, ADD b DECIMAL(5, 2) DEFAULT -1.5, ADD c JSON DEFAULT '{}'",
  'DROP INDEX IF EXISTS i',
  '-- a word\n/* and another */ CREATE TABLE notes (ä)',
];

const MORE = [
  'CREATE TABLE notes PARTITION OF prices DEFAULT',
  'CREATE TABLE notes (a) PARTITION BY LIST (a)',
  'CREATE TABLE notes (a) INHERITS (prices)',
  'CREATE TABLE notes (LIKE prices)',
  'CREATE TABLE notes (a INT, LIKE prices INCLUDING ALL)',
  'CREATE TABLE notes OF prices',
  'CREATE TABLE notes AS TABLE prices',
  'CREATE TABLE notes (a) AS SELECT 1',
  'CREATE TABLE notes (a prices)',
  'CREATE TABLE notes (a "prices")',
  'CREATE TABLE notes (a REFERENCES prices)',
  'CREATE TABLE notes (a, FOREIGN KEY (a) REFERENCES prices (id) ON DELETE CASCADE)',
  'CREATE TABLE notes (a, EXCLUDE USING gist (a WITH =))',
  "CREATE TABLE notes (a DEFAULT (nextval('prices')))",
  'CREATE TABLE notes (a DEFAULT pg_sleep(9))',
  'CREATE TABLE notes (a CHECK (a IN prices))',
  'CREATE TABLE notes (a CHECK (a IN (SELECT 1)))',
  "CREATE TABLE notes (a CHECK (load_extension('x')))",
  'CREATE TABLE notes (a CHECK ("lower"(a) = 1))',
  "CREATE TABLE notes (a DEFAULT ('prices'::regclass))",
  'CREATE TABLE notes (a INT GENERATED ALWAYS AS (b) STORED)',
  'CREATE TABLE notes (a); SELECT 1',
  'CREATE TABLE notes (a) x',
  'CREATE TABLE notes (a',
  'CREATE TABLE notes (a)) ',
  'CREATE TABLE notes (a)\0; ',
  'CREATE TABLE notes (a) /*! AS SELECT 1 */',
  'CREATE TABLE no$tes (a)',
  'CREATE TABLE temp.notes (a)',
  'CREATE TABLE other.notes (a)',
  'CREATE TEMP TABLE notes (a)',
  'CREATE VIRTUAL TABLE notes USING fts5 (a)',
  'ALTER TABLE notes ADD CHECK (false)',
  'ALTER TABLE notes ADD UNIQUE (a)',
  'ALTER TABLE notes ADD PRIMARY KEY (a)',
  'ALTER TABLE notes ADD EXCLUDE (a WITH =)',
  'ALTER TABLE notes ADD CONSTRAINT c CHECK (a > 0)',
  'ALTER TABLE notes ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES prices',
  'ALTER TABLE notes ADD PARTITION p',
  'ALTER TABLE notes ADD a INT CHECK (b > 0)',
  'ALTER TABLE notes ADD a INT UNIQUE',
  'ALTER TABLE notes ADD a INT NOT NULL',
  'ALTER TABLE notes ADD a INT NOT NULL DEFAULT NULL',
  'ALTER TABLE notes ADD a INT REFERENCES prices',
  'ALTER TABLE notes ADD a INT, ADD CHECK (false)',
  'ALTER TABLE notes ATTACH PARTITION prices DEFAULT',
  'ALTER TABLE notes INHERIT prices',
  'ALTER TABLE notes ENABLE ROW LEVEL SECURITY',
  'CREATE UNIQUE INDEX i ON notes (a)',
  'CREATE INDEX i ON notes (1 / a)',
  'CREATE INDEX i ON notes (lower(a))',
  'CREATE INDEX i ON notes (a) WHERE a / 0 = 1',
  'CREATE INDEX other.i ON notes (a)',
  "CREATE INDEX i ON notes (a) WHERE a LIKE 'x' ESCAPE 'xx'",
  'CREATE INDEX i ON notes (a) WHERE a LIKE b',
  "CREATE INDEX i ON notes (a) WHERE a GLOB 'x'",
  "CREATE INDEX i ON notes (a) WHERE a = 'x' COLLATE nosuch",
  'CREATE INDEX i ON notes (a) WHERE CASE a WHEN 1 THEN 2 END',
  'CREATE INDEX i ON notes (a) WHERE a < CURRENT_TIMESTAMP',
  "ALTER TABLE notes ADD a INT DEFAULT 'x'",
  'ALTER TABLE notes ADD a INT DEFAULT "x"',
  "ALTER TABLE notes ADD a UNSIGNED BIG INT DEFAULT '5'",
  'ALTER TABLE notes ADD a INTEGER DEFAULT 1.5',
  'ALTER TABLE notes ADD a INTEGER DEFAULT 99999999999999999999',
  'ALTER TABLE notes ADD a INT DEFAULT CURRENT_TIMESTAMP',
  "ALTER TABLE notes ADD a REAL DEFAULT 'x'",
  "ALTER TABLE notes ADD a BLOB DEFAULT 'x'",
  'ALTER TABLE notes ADD a BLOB DEFAULT 1',
  'BEGIN DROP TABLE notes',
  "COMMENT ON TABLE prices IS 'x'",
];

test('only what is known to add is taken to add', () => {
  for (const ddl of ADDING) assert.equal(addsOnly(ddl, 'main'), true, ddl);
  for (const ddl of MORE) assert.equal(addsOnly(ddl, 'main'), false, ddl);
  assert.equal(addsOnly('CREATE TABLE notes (a)', 'temp'), false);
});

const words =
  'create table index unique on if not exists alter add column constraint check primary key foreign references prices notes a b int text varchar default null 1 -1 temp of as partition select like inherits drop rename to in (1) with now() strict without rowid where'.split(
    ' ',
  );
const signs = ['(', ')', ',', ';', '.', '=', '::', '$', '"a"', "'x'", '[b]', '--\n', '/*x*/'];
const piece = fc.constantFrom(...words, ...signs);

/** What a statement is that only adds, without its expressions. */
const ADDS =
  /^(|(begin|commit|end)\b.*|drop index .*|create index .*|create table [^()]+\(.*\)[ ,]*((strict|without rowid)[ ,]*)*|alter table .*)$/;
const DOES_MORE = [
  /^create table .*[(,] ?like\b/,
  /^create table [^ (]+ [^(]/,
  /^alter table [^ ]+ (?!add\b)./,
  /^alter table [^ ]+ .*\b(check|unique|primary|foreign|references|exclude)\b/,
];

/** A word in them is a column's name. Only an index has one behind WHERE. */
function withoutExpressions(statement: string): string {
  let depth = 0;
  const isIndex = /^ ?create (unique )?index\b/.test(statement);
  const plain = isIndex ? statement.replace(/(?<=\))where\b.*$/, '') : statement;
  return plain.replace(/[()]|[^()]+/g, (text) => {
    if (text === '(') depth++;
    if (text === ')') depth--;
    return depth > 1 ? '' : text;
  });
}

/** To its end, or to that of the text. */
const QUOTE_OR_COMMENT =
  /'[^']*(?:'|$)|"[^"]*(?:"|$)|\[[^\]]*(?:\]|$)|`[^`]*(?:`|$)|--[^\n]*|\/\*.*?(?:\*\/|$)/gs;

test('whatever is put into DDL that adds, what does more is found in it', () => {
  const additions = fc.constantFrom(...ADDING);
  const mutants = fc
    .tuple(additions, fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.array(piece, { maxLength: 4 }))))
    .map(([ddl, edits]) => {
      const parts = ddl.split(/(?<=[\s(),;])|(?=[(),;])/);
      for (const [at, cut, put] of edits) {
        parts.splice(at % (parts.length + 1), cut, ...put.map((text) => ` ${text} `));
      }
      return parts.join('');
    });
  fc.assert(
    fc.property(
      fc.oneof(
        mutants,
        fc.array(piece).map((all) => all.join(' ')),
      ),
      (ddl) => {
        if (!addsOnly(ddl, 'main')) return;
        const bare = ddl
          .replace(QUOTE_OR_COMMENT, (text) => (/^[-/]/.test(text) ? ' ' : ' q '))
          .toLowerCase()
          .replace(/\s+/g, ' ')
          .replace(/\bif (not )?exists\b|\bonly\b|\bmain ?\. ?/g, '')
          .replace(/(?<!\btable +)\b(collate|constraint) \s*[^\s,();]+/g, 'null')
          .replace(/\s+/g, ' ')
          .replace(/ ?([(),;]) ?/g, '$1');
        for (const statement of bare.split(';')) {
          const rest = withoutExpressions(statement).trim();
          assert.match(rest, ADDS, ddl);
          for (const more of DOES_MORE) assert.doesNotMatch(rest, more, ddl);
          const own = /^create table ([^ (]+)/.exec(rest)?.[1];
          if (own === undefined) continue;
          for (const [, referred] of rest.matchAll(/\breferences ([^ (),]+)/g)) {
            assert.equal(referred, own, ddl);
          }
        }
      },
    ),
    { numRuns: 5000 },
  );
});

test('what a text touches is told with it', () => {
  const refer = 'ALTER TABLE notes ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES main.prices (id)';
  assert.deepEqual(ddlToActions(refer), [
    {
      type: 'alter_column',
      tables: [{ schema: undefined, table: 'notes' }],
      references: [{ schema: 'main', table: 'prices' }],
      isAdditive: false,
    },
  ]);
});

test('as long a text is read as a table needs, and of a longer one nothing is certain', () => {
  const table = (count: number) => {
    const columns = Array.from({ length: count }, (_, i) => `c${i} INT DEFAULT (1)`);
    return `CREATE TABLE notes (${columns.join()})`;
  };
  assert.equal(addsOnly(table(5000), 'main'), true);
  assert.deepEqual(tablesInDdl(table(5000)).names, new Set(['create', 'table', 'notes', '1']));
  for (const text of [
    table(50_000),
    `${table(1)} -- ${'x'.repeat(300_000)}`,
    ';'.repeat(100_000),
  ]) {
    assert.equal(ddlToActions(text), undefined);
    assert.deepEqual(tablesInDdl(text), { names: new Set(), isObscure: true, isTooLong: true });
    assert.equal(TableMap.of(['secrets']).findInDdl(text), 'secrets');
  }
});
