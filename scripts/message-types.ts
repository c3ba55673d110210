/**
 * The types of the protocol's messages as plain TypeScript, made from the schemas that the server
 * checks them by: the client's package has these types and not the library of the schemas.
 */

import type { TSchema } from 'typebox';
import {
  ChangeSetSchema,
  CheckpointSchema,
  CLIENT_MESSAGE_SCHEMAS,
  ColumnChangeSchema,
  DeleteChangeSchema,
  MigrationSchema,
  SentChangeSetSchema,
} from '../src/protocol/schemas.ts';
import {
  ApplyResultSchema,
  ConflictingCellSchema,
  ElsewhereChangeSchema,
  OvertakenChangeSchema,
  RejectedChangeSchema,
  SERVER_MESSAGE_SCHEMAS,
  SNAPSHOT_CHUNK_SCHEMAS,
} from '../src/protocol/server-messages.ts';

interface Shape {
  type?: string;
  const?: unknown;
  description?: string;
  properties?: Readonly<Record<string, TSchema>>;
  required?: readonly string[];
  items?: TSchema;
  anyOf?: readonly TSchema[];
}

/** `snapshot_chunk` and `snapshot-chunk` to `SnapshotChunk`. */
function toTypeName(name: string): string {
  return name.replace(/(?:^|[_-])([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

const CHUNKS = Object.entries(SNAPSHOT_CHUNK_SCHEMAS).map(([type, schema]): [string, TSchema] => [
  `${toTypeName(type)}Chunk`,
  schema,
]);
const FROM_SERVER = Object.entries(SERVER_MESSAGE_SCHEMAS).map(
  ([type, schema]): [string, TSchema] => [`${toTypeName(type)}Message`, schema],
);
const FROM_CLIENT = Object.entries(CLIENT_MESSAGE_SCHEMAS).map(
  ([type, schema]): [string, TSchema] => [`${toTypeName(type)}Message`, withParts(type, schema)],
);

/** What the server checks part by part, with its parts. */
function withParts(type: string, schema: TSchema): TSchema {
  const { properties = {} }: Shape = schema;
  const parts =
    type === 'apply_changes'
      ? { changes: { type: 'array', items: ChangeSetSchema } }
      : type === 'resume_snapshot'
        ? { checkpoint: CheckpointSchema }
        : {};
  return { ...schema, properties: { ...properties, ...parts } };
}

const NAMED: readonly (readonly [name: string, schema: TSchema])[] = [
  ['ColumnChange', ColumnChangeSchema],
  ['RowDeletion', DeleteChangeSchema],
  ['Migration', MigrationSchema],
  ['ChangeSet', ChangeSetSchema],
  ['SentChangeSet', SentChangeSetSchema],
  ['Checkpoint', CheckpointSchema],
  ['ConflictingCell', ConflictingCellSchema],
  ['OvertakenChange', OvertakenChangeSchema],
  ['ElsewhereChange', ElsewhereChangeSchema],
  ['RejectedChange', RejectedChangeSchema],
  ['ApplyResult', ApplyResultSchema],
  ...CHUNKS,
  ...FROM_SERVER,
  ...FROM_CLIENT,
];

const nameBySchema = new Map(NAMED.map(([name, schema]) => [JSON.stringify(schema), name]));

function toType(schema: TSchema): string {
  return nameBySchema.get(JSON.stringify(schema)) ?? toInlineType(schema);
}

function toInlineType(schema: TSchema): string {
  const { type, anyOf, items, properties }: Shape = schema;
  if ('const' in schema) return literalToText(schema.const);
  if (anyOf !== undefined) return anyOf.map(toType).join(' | ');
  if (items !== undefined) {
    const of = toType(items);
    return `${/^\w+$/.test(of) ? of : `(${of})`}[]`;
  }
  if (properties !== undefined) return `{\n${membersToText(schema)}\n}`;
  if (type === 'integer') return 'number';
  return type ?? 'unknown';
}

function literalToText(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value);
}

function membersToText(schema: TSchema): string {
  const { properties = {}, required = [] }: Shape = schema;
  return Object.entries(properties)
    .map(([name, field]) => {
      const { description }: Shape = field;
      const comment = description === undefined ? '' : `/** ${description} */\n`;
      return `${comment}${name}${required.includes(name) ? '' : '?'}: ${toType(field)};`;
    })
    .join('\n');
}

function unionToText(name: string, members: readonly (readonly [string, TSchema])[]): string {
  return `export type ${name} =\n${members.map(([member]) => `  | ${member}`).join('\n')};`;
}

/** The text of the module, which the formatter still has to see. */
export function messageTypes(): string {
  return [
    `/**
 * What client and server send each other, in JSON form: HLCs and site ids as text, SQL values as JSON
 * (\`encodeValue\`, \`decodeValue\`). Later servers may send fields and messages that are not here.
 *
 * Made by \`npm run docs\` from the schemas of the server: change those, not this.
 */`,
    ...NAMED.map(([name, schema]) => `export interface ${name} {\n${membersToText(schema)}\n}`),
    'export type Change = ColumnChange | RowDeletion;',
    "export type MigrationType = Migration['type'];",
    unionToText('SnapshotChunk', CHUNKS),
    unionToText('ServerMessage', FROM_SERVER),
    unionToText('ClientMessage', FROM_CLIENT),
  ].join('\n\n');
}
