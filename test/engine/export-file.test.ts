/** Files that are not what an export wrote. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { ExportFileError } from '../../src/transfer/export/format.ts';
import { checkExport } from '../../src/transfer/export/import-content.ts';
import { splitLines } from '../../src/transfer/export/text-lines.ts';
import { exportLines } from '../../src/transfer/export/write-export.ts';
import { openEngine } from '../support/engine.ts';

async function exportedLines(): Promise<string[]> {
  const { manager, store } = await openEngine();
  const device = new Device(1);
  await manager.apply([device.migrate('create_table', 't')]);
  await manager.apply([device.write({ pk: [1], set: { a: 'ä' } }, { pk: [2], set: { a: 2 } })]);
  await manager.apply([device.write({ pk: [2], delete: true })]);
  const context = {
    databaseId: 'test',
    exportedAt: new Date(0),
    tally: { done: 0, total: 0 },
  };
  const chunks: Buffer[] = [];
  for await (const chunk of exportLines(store, context)) chunks.push(chunk);
  return Buffer.concat(chunks).toString().trimEnd().split('\n');
}

function check(bytes: Buffer) {
  return checkExport(async function* () {
    yield bytes;
  });
}

async function refusalOf(bytes: Buffer): Promise<ExportFileError> {
  const outcome = await check(bytes).catch((error: unknown) => error);
  assert.ok(outcome instanceof ExportFileError, `it was ${JSON.stringify(outcome)}`);
  return outcome;
}

/** Later than the end of the log, and of a time that a clock may show. */
const LATER = `AAAC${'z'.repeat(36)}`;

const toFile = (lines: readonly string[]): Buffer => Buffer.from(`${lines.join('\n')}\n`);

/** With a last line that is right, as one who makes files up would write it. */
function seal(lines: readonly string[]): Buffer {
  const body = toFile(lines);
  const sha256 = createHash('sha256').update(body).digest('hex');
  const countOf = (type: string) =>
    lines.filter((line) => line.includes(`"type":"${type}",`)).length;
  const counts = { transactions: countOf('transaction'), rows: countOf('row') };
  const end = { type: 'end', lines: lines.length, ...counts, sha256 };
  return Buffer.concat([body, toFile([JSON.stringify(end)])]);
}

test('wherever a file was cut or changed, it is refused', async () => {
  const lines = await exportedLines();
  const whole = toFile(lines);
  assert.equal((await check(whole)).end.lines, lines.length - 1);
  for (let size = 0; size < whole.length; size++) {
    const { isDamaged } = await refusalOf(whole.subarray(0, size));
    assert.ok(isDamaged, `cut to ${size} bytes`);
  }
  for (const i of lines.keys()) {
    await refusalOf(toFile(lines.toSpliced(i, 1)));
    await refusalOf(toFile(lines.toSpliced(i, 0, lines[i] ?? '')));
    const { message } = await refusalOf(
      toFile(lines.toSpliced(i, 1, (lines[i] ?? '').slice(0, -1))),
    );
    assert.match(message, new RegExp(`line ${i + 1} is not JSON`));
  }
  // One bit of each character, so that most of them still are JSON.
  for (let i = 0; i < whole.length; i++) {
    const changed = Buffer.from(whole);
    changed.writeUInt8(changed.readUInt8(i) ^ 1, i);
    await refusalOf(changed);
  }
});

test('what is made up to look whole is refused where it contradicts itself', async () => {
  const lines = (await exportedLines()).slice(0, -1);
  await check(seal(lines));
  const replaced = (pattern: RegExp, by: string) => {
    assert.ok(
      lines.some((line) => pattern.test(line)),
      `${pattern}`,
    );
    return seal(lines.map((line) => line.replace(pattern, by)));
  };
  const without = (pattern: RegExp) => seal(lines.filter((line) => !pattern.test(line)));
  const { position } = JSON.parse(lines[0] ?? '');
  const late = `"hlc":"${LATER}","changes"`;
  for (const [what, bytes, message] of [
    ['no head', without(/"name":"head"/), /head is missing/],
    ['no site', without(/"name":"site"/), /site is missing/],
    [
      'another site',
      replaced(/"value":"AQEB[^"]*"/, '"value":"AAAAAAAAAAAAAAAAAAAAAA"'),
      /line 1$/,
    ],
    ['a late position', replaced(/"hlc":"[^"]*","changes"/, late), /does not fit line 1/],
    ['a log of other length', replaced(/"logLength":3/, '"logLength":1e308'), /says logLength 1e/],
    ['other changes', replaced(/"changesLogged":4/, '"changesLogged":5'), /says changesLogged 5/],
    [
      'a horizon after the end',
      seal(
        lines.flatMap((line) =>
          line.includes('"name":"site"')
            ? [`{"type":"meta","name":"horizon","value":"${LATER}"}`, line]
            : [line],
        ),
      ),
      /does not fit line 1/,
    ],
    [
      'a position of no clock',
      seal(lines.map((line) => line.replaceAll(position, `//////////${position.slice(10)}`))),
      /later than any clock/,
    ],
    [
      'an unknown kind',
      replaced(/"type":"row"/, '"type":"cell"'),
      /is not a valid line of an export/,
    ],
    [
      'a key that is none',
      replaced(/"pk":\[1\],"cells"/, '"pk":[{"__bigint":"x"}],"cells"'),
      /cannot be read/,
    ],
    [
      'two rows of one key',
      replaced(/"pk":\[2\],"deletion"/, '"pk":[1],"deletion"'),
      /is not in order/,
    ],
  ] as const) {
    assert.match((await refusalOf(bytes)).message, message, what);
  }
});

test('no HLC of a time that no clock can show is taken, wherever it stands', async () => {
  const lines = (await exportedLines()).slice(0, -1);
  const HLC = /"[A-Za-z0-9+/]{40}"/g;
  let found = 0;
  for (const [i, line] of lines.entries()) {
    for (const { index, 0: text } of line.matchAll(HLC)) {
      found++;
      const later = `"//////////${text.slice(11)}`;
      const changed = line.slice(0, index) + later + line.slice(index + text.length);
      const { message } = await refusalOf(seal(lines.toSpliced(i, 1, changed)));
      assert.match(message, new RegExp(`line (${i + 1}|1)\\b`), changed);
    }
  }
  assert.ok(found > 20, `${found}`);
});

test('what is no export, or a newer one, is not called damaged', async () => {
  const [header = '', ...rest] = await exportedLines();
  const newer = await refusalOf(
    toFile([header.replace(/"formatVersion":3/, '"formatVersion":4'), ...rest]),
  );
  assert.match(newer.message, /format version 4, and this program reads 3.*newer/);
  assert.equal(newer.isDamaged, false);
  for (const foreign of [
    '{"a":1}\n',
    'CREATE TABLE t (a);\n',
    '\n',
    '[]\n',
    'null\n',
    'PK\x03\x04 and so on',
  ]) {
    const { message, isDamaged } = await refusalOf(Buffer.from(foreign));
    assert.match(message, /no export/);
    assert.equal(isDamaged, false);
  }
});

test('a file without newlines is given up before it fills the memory', async () => {
  let given = 0;
  const endless = async function* () {
    for (;;) {
      given++;
      yield Buffer.alloc(100, 'x');
    }
  };
  await assert.rejects(splitLines(endless(), 1000).next(), /line 1 is longer than/);
  assert.ok(given < 20);
});

test('what is no export is refused at its first bytes, in whatever pieces they come', async () => {
  for (const size of [1, 7, 1000]) {
    let given = 0;
    const zeros = async function* () {
      for (;;) {
        given++;
        yield Buffer.alloc(size);
      }
    };
    await assert.rejects(
      checkExport(zeros),
      (error) => error instanceof ExportFileError && !error.isDamaged,
    );
    assert.equal(given, 1);
  }
});
