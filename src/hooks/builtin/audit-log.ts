/**
 * Logs who changed what, when and from which site: a line of JSON for every stored transaction, and
 * one for each rejected change.
 */

import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { type Static, Type } from 'typebox';
import { encodeHlc } from '../../clock/hlc.ts';
import { siteIdToText } from '../../clock/site-id.ts';
import { toPrintable } from '../../errors/printable.ts';
import type { ApplyResult, Change, ChangeSet, RejectedChange } from '../../protocol/types.ts';
import { encodeValue } from '../../protocol/values.ts';
import { defineHooks } from '../define-hooks.ts';
import type { ClientIdentity } from '../types.ts';
import { AuditFile } from './audit-file.ts';

const MIB = 1024 * 1024;
/** The longest text in a line, if values are not logged. */
const TEXT_LENGTH_MAX = 256;

const Options = Type.Object({
  file: Type.String({
    pattern: '\\S',
    description: 'The file, relative to the working directory.',
  }),
  values: Type.Boolean({
    default: false,
    description:
      'Whether what was written, and the text of DDL, is noted down as well. It may be personal, and long.',
  }),
  maxBytes: Type.Integer({
    default: 100 * MIB,
    minimum: 1024,
    description: 'The size at which the file is put aside and another is begun.',
  }),
  interval: Type.Optional(
    Type.String({
      pattern: '^(?:[1-9][0-9]*[dM]|(?:1|2|3|4|6|8|12|24)h)$',
      description: 'The time after which it is, such as `1d` or `12h`. Default: only by size.',
    }),
  ),
  maxFiles: Type.Integer({
    default: 30,
    minimum: 1,
    description: 'How many files that were put aside are kept.',
  }),
  compress: Type.Boolean({ default: false, description: 'Whether they are compressed (gzip).' }),
});

export type AuditLogOptions = Partial<Static<typeof Options>> & { file: string };

export default defineHooks({
  name: 'audit-log',
  options: Options,
  async setup(options, { onClose, isCheck }) {
    // A check must neither create the file, nor rotate one that a server writes.
    const file = isCheck ? undefined : await AuditFile.open(options.file, options);
    /** Resolves when the lines of all batches so far are written: they keep their order. */
    let written = Promise.resolve();
    onClose(async () => {
      await written;
      await file?.close();
    });
    return {
      onAfterApplyChanges(client, changeSets, result) {
        if (file === undefined) return undefined;
        const who = describeClient(client);
        const before = written;
        async function write(to: AuditFile): Promise<void> {
          await before;
          for await (const lines of linesOf(who, changeSets, result, options.values)) {
            await to.append(lines);
          }
        }
        const writing = write(file);
        written = writing.catch(() => undefined);
        return writing;
      },
    };
  },
});

/** So many changes are described at once, and other work runs in between. */
const STRETCH = 1000;

/** The lines about a batch, some at a time. */
async function* linesOf(
  who: object,
  changeSets: readonly ChangeSet[],
  result: ApplyResult,
  all: boolean,
): AsyncGenerator<string, void, undefined> {
  const batch = describeResult(result);
  const cut = all ? <Value>(value: Value) => value : bounded;
  let lines = '';
  let left = STRETCH;
  for (const set of changeSets) {
    const changes: object[] = [];
    for (const change of set.changes) {
      changes.push(cut(describeChange(change, all)));
      if (--left === 0) {
        left = STRETCH;
        await setImmediate();
      }
    }
    lines += toLine({ ...who, ...describeSet(set, changes, all, cut), batch });
    if (lines.length < LINES_LENGTH) continue;
    yield lines;
    lines = '';
  }
  for (const each of result.rejected ?? []) {
    lines += toLine({ ...who, ...describeRejection(each, all), batch });
    if (--left === 0) {
      left = STRETCH;
      await setImmediate();
    }
    if (lines.length < LINES_LENGTH) continue;
    yield lines;
    lines = '';
  }
  if (lines !== '') yield lines;
}

/** Lines are written together up to about this length. */
const LINES_LENGTH = 256 * 1024;

/** Escapes control characters, so that an entry is one line in any viewer, and still JSON. */
function toLine(entry: object): string {
  return `${toPrintable(JSON.stringify(entry))}\n`;
}

function describeClient({ userId, siteId, databaseId }: ClientIdentity) {
  return { time: new Date().toISOString(), databaseId, userId, siteId: siteIdToText(siteId) };
}

/**
 * The counts of the whole batch, of which a single transaction may have lost against newer ones.
 */
function describeResult({ applied, skipped, conflicts }: ApplyResult) {
  return { applied, skipped, conflicts };
}

function describeSet(
  { transactionId, siteId, schemaMigrations }: ChangeSet,
  changes: readonly object[],
  all: boolean,
  cut: typeof bounded,
) {
  const described = schemaMigrations.map(({ type, schema, table, fromTable, ddl }) => ({
    ...{ type, schema, table, fromTable },
    // The text may contain values, and be of any length.
    ...(all ? { ddl } : {}),
  }));
  const head = cut({ transactionId, author: siteIdToText(siteId) });
  return { ...head, changes, schemaMigrations: cut(described) };
}

function describeChange(change: Change, withValue: boolean) {
  const { type, schema, table } = change;
  const row = { type, schema, table, pk: change.pk.map(encodeValue), hlc: encodeHlc(change.hlc) };
  if (change.type === 'delete') return row;
  const { column, value } = change;
  return withValue ? { ...row, column, value: encodeValue(value) } : { ...row, column };
}

function describeRejection({ pk, ...rejection }: RejectedChange, all: boolean) {
  const rejected = pk === undefined ? rejection : { ...rejection, pk: pk.map(encodeValue) };
  return { rejected: all ? rejected : bounded(rejected) };
}

/**
 * Cuts texts to some hundred characters: with long lines a client could make the files rotate until
 * the oldest, with lines about it, are deleted. A cut text has a hash, so that different ones stay
 * different.
 */
function bounded<Value>(value: Value): Value;
function bounded(value: unknown): unknown {
  if (typeof value === 'string') return shortened(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(bounded);
  const entries = Object.entries(value).map(([name, member]) => {
    return [name, name === 'pk' ? boundedKey(member) : bounded(member)];
  });
  return Object.fromEntries(entries);
}

/** A key; one that is too long becomes one cut text of its JSON. */
function boundedKey(pk: unknown): unknown {
  const text = JSON.stringify(pk) ?? '';
  return text.length <= TEXT_LENGTH_MAX ? pk : [shortened(text)];
}

function shortened(text: string): string {
  if (text.length <= TEXT_LENGTH_MAX) return text;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 32);
  const start = text.slice(0, TEXT_LENGTH_MAX / 2);
  return `${start}… (${text.length} characters, SHA-256 ${hash})`;
}
