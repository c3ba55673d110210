/**
 * Text from a client → checked protocol values. The quick path is one compiled
 * check a piece; only a refusal pays for finding out where and what.
 */

import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { SyncError } from '../errors.ts';
import { toPlacedFault } from './place.ts';
import {
  ChangeSetSchema,
  CheckpointSchema,
  CLIENT_MESSAGE_SCHEMAS,
  type ClientMessage,
  type ClientMessageType,
  ColumnChangeSchema,
  DeleteChangeSchema,
  MigrationSchema,
  PROTOCOL_VERSION,
  type WireChange,
  type WireChangeSet,
  type WireCheckpoint,
} from './schemas.ts';
import { valueFault } from './values.ts';

const changeSetValidator = Compile(ChangeSetSchema);
const columnValidator = Compile(ColumnChangeSchema);
const deleteValidator = Compile(DeleteChangeSchema);
const migrationValidator = Compile(MigrationSchema);
const checkpointValidator = Compile(CheckpointSchema);
const messageValidators = Object.fromEntries(
  Object.entries(CLIENT_MESSAGE_SCHEMAS).map(([type, schema]) => [type, Compile<TSchema>(schema)]),
);

function refuse(place: string, what: string): never {
  throw new SyncError('MESSAGE_ERROR', place === '' ? what : `${place}: ${what}`);
}

/** The first fault that a validator finds, as `place: what`. */
function explain(
  validator: { Errors(value: unknown): object[] },
  value: unknown,
  place: string,
): never {
  const [first = {}] = validator.Errors(value);
  const fault = toPlacedFault(first);
  refuse(`${place}${fault.place}`.replace(/^\./, ''), fault.message);
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The engine's own words say where; they quote a few characters of the input at most.
    const where = error instanceof Error ? `: ${error.message.slice(0, 200)}` : '';
    throw new SyncError('MESSAGE_ERROR', `not valid JSON${where}`, { cause: error });
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * One message of a client.
 * @param changesMax most changes and migrations in one `apply_changes`
 * @throws SyncError MESSAGE_ERROR, UNKNOWN_MESSAGE, or TOO_LARGE
 */
export function decodeClientMessage(text: string, changesMax: number): ClientMessage {
  const value = parseJson(text);
  if (!isObject(value)) refuse('', 'a message must be a JSON object');
  const type: unknown = Reflect.get(value, 'type');
  if (typeof type !== 'string') refuse('type', 'must be a string');
  if (!Object.hasOwn(CLIENT_MESSAGE_SCHEMAS, type)) {
    throw new SyncError(
      'UNKNOWN_MESSAGE',
      `unknown message type ${JSON.stringify(type.slice(0, 64))}`,
    );
  }
  if (type === 'handshake') refuseOtherVersions(value);
  const validator = messageValidators[type as ClientMessageType];
  if (!validator?.Check(value)) explain(validator as never, value, '');
  const message = value as ClientMessage;
  if (message.type !== 'apply_changes') return message;
  const changes = decodeChangeSets(message.changes, changesMax, 'changes');
  return { type: message.type, requestId: message.requestId, changes };
}

/** Before anything else is judged: another version's handshake may have another shape. */
function refuseOtherVersions(handshake: object): void {
  const version: unknown = Reflect.get(handshake, 'protocolVersion');
  if (version === undefined || version === PROTOCOL_VERSION) return;
  throw new SyncError(
    'PROTOCOL_VERSION_MISMATCH',
    `this server speaks protocol version ${PROTOCOL_VERSION}`,
  );
}

/** The `requestId` of a message that was refused, so that the refusal can carry it. */
export function findRequestId(text: string): string | undefined {
  try {
    const requestId: unknown = Reflect.get(Object(JSON.parse(text)), 'requestId');
    return typeof requestId === 'string' ? requestId : undefined;
  } catch {
    return undefined;
  }
}

/** The body of `POST /changes`: an array of change sets, or `{changes}`. */
export function decodeApplyBody(text: string, changesMax: number): WireChangeSet[] {
  const value = parseJson(text);
  if (Array.isArray(value)) return decodeChangeSets(value, changesMax, '');
  const changes: unknown = isObject(value) ? Reflect.get(value, 'changes') : undefined;
  if (!Array.isArray(changes)) refuse('', 'the body must be an array of change sets or {changes}');
  return decodeChangeSets(changes, changesMax, 'changes');
}

/** The body of `POST /snapshot`: a checkpoint, or `{checkpoint}`. */
export function decodeCheckpointBody(text: string): WireCheckpoint {
  const value = parseJson(text);
  const wrapped = isObject(value) && Object.hasOwn(value, 'checkpoint');
  const checkpoint: unknown = wrapped ? Reflect.get(value, 'checkpoint') : value;
  if (!checkpointValidator.Check(checkpoint)) {
    explain(checkpointValidator, checkpoint, wrapped ? 'checkpoint' : '');
  }
  return checkpoint;
}

/**
 * @param changesMax most changes and migrations in all sets together
 * @param place where the array stands in the input, for refusals
 */
export function decodeChangeSets(
  values: readonly unknown[],
  changesMax: number,
  place: string,
): WireChangeSet[] {
  let count = 0;
  return values.map((value, index) => {
    const here = `${place}[${index}]`;
    const changeSet = decodeChangeSet(value, here);
    count += changeSet.changes.length + changeSet.schemaMigrations.length;
    if (count > changesMax) {
      throw new SyncError(
        'TOO_LARGE',
        `${here}: more than limits.changesPerBatch (${changesMax}) changes in one batch`,
        { limit: 'limits.changesPerBatch' },
      );
    }
    return changeSet;
  });
}

function decodeChangeSet(value: unknown, place: string): WireChangeSet {
  if (!changeSetValidator.Check(value)) explainChangeSet(value, place);
  const { siteId, transactionId, hlc, changes, schemaMigrations = [] } = value;
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i];
    if (change === undefined) continue;
    checkValues(change, place, i);
    // From here on a change is stored as it is: what the protocol does not know is left out.
    if (hasUnknownFields(change)) changes[i] = onlyKnownFields(change);
  }
  for (let i = 0; i < schemaMigrations.length; i++) {
    const migration = schemaMigrations[i];
    if (migration?.type === 'rename_table' && migration.fromTable === undefined) {
      refuse(`${place}.schemaMigrations[${i}].fromTable`, 'rename_table must say the old name');
    }
  }
  return { siteId, transactionId, hlc, changes, schemaMigrations } as WireChangeSet;
}

const CHANGE_FIELDS = {
  column: Object.keys(ColumnChangeSchema.properties).length,
  delete: Object.keys(DeleteChangeSchema.properties).length,
};

/** Counting is enough: those that must be there have been found to be. */
function hasUnknownFields(change: WireChange): boolean {
  let fields = 0;
  for (const _field in change) fields++;
  if (change.type === 'delete') {
    return fields > CHANGE_FIELDS.delete - ('priorRow' in change ? 0 : 1);
  }
  return fields > CHANGE_FIELDS.column - ('priorHlc' in change ? 0 : 2);
}

function onlyKnownFields(change: WireChange): WireChange {
  const { schema, table, pk, hlc } = change;
  const common = { schema, table, pk, hlc };
  if (change.type === 'delete') {
    const { type, priorRow } = change;
    return { type, ...common, ...('priorRow' in change ? { priorRow } : {}) };
  }
  const { type, column, value, priorValue, priorHlc } = change;
  const prior = 'priorHlc' in change ? { priorValue, priorHlc } : {};
  return { type, ...common, column, value, ...prior };
}

function checkValues(change: WireChange, place: string, index: number): void {
  const here = () => `${place}.changes[${index}]`;
  checkEach(change.pk, () => `${here()}.pk`);
  if (change.type === 'delete') {
    if (change.priorRow !== undefined) checkEach(change.priorRow, () => `${here()}.priorRow`);
    return;
  }
  const fault = valueFault(change.value);
  if (fault !== undefined) refuse(`${here()}.value`, fault);
  if ('priorValue' in change !== 'priorHlc' in change) {
    refuse(here(), 'priorValue and priorHlc come together or not at all');
  }
  if ('priorValue' in change) {
    const priorFault = valueFault(change.priorValue);
    if (priorFault !== undefined) refuse(`${here()}.priorValue`, priorFault);
  }
}

function checkEach(values: readonly unknown[], place: () => string): void {
  for (let i = 0; i < values.length; i++) {
    const fault = valueFault(values[i]);
    if (fault !== undefined) refuse(`${place()}[${i}]`, fault);
  }
}

/** A union's own errors name every branch: look at the one that `type` chose instead. */
function explainChangeSet(value: unknown, place: string): never {
  const changes: unknown = isObject(value) ? Reflect.get(value, 'changes') : undefined;
  if (Array.isArray(changes)) {
    changes.forEach((change, index) => {
      const here = `${place}.changes[${index}]`;
      const type: unknown = isObject(change) ? Reflect.get(change, 'type') : undefined;
      if (type !== 'column' && type !== 'delete')
        refuse(`${here}.type`, 'must be "column" or "delete"');
      const validator = type === 'column' ? columnValidator : deleteValidator;
      if (!validator.Check(change)) explain(validator, change, here);
    });
  }
  const migrations: unknown = isObject(value) ? Reflect.get(value, 'schemaMigrations') : undefined;
  if (Array.isArray(migrations)) {
    migrations.forEach((migration, index) => {
      if (migrationValidator.Check(migration)) return;
      explain(migrationValidator, migration, `${place}.schemaMigrations[${index}]`);
    });
  }
  explain(changeSetValidator, value, place);
}
