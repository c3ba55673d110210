/**
 * Decodes text from a client to checked protocol values. Each piece has one quick compiled check;
 * only a refusal takes the time to find out what is wrong and where. A long text is decoded in
 * steps, and its values are counted before any of it is parsed, so that no message blocks other
 * clients.
 */

import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { SyncError } from '../errors/sync-error.ts';
import { COMPLETED_TABLES_MAX, PROTOCOL_VERSION } from '../protocol/constants.ts';
import {
  CheckpointSchema,
  CLIENT_MESSAGE_SCHEMAS,
  type ClientMessage,
  type ClientMessageType,
  CompletedTableSchema,
  type WireChangeSet,
  type WireCheckpoint,
} from '../protocol/schemas.ts';
import { decodeChangeSets, decodeParsed } from './decode-changes.ts';
import { Envelope, type List } from './envelope.ts';
import { explain, isObject, refuse } from './faults.ts';
import { findText } from './find-text.ts';
import {
  isLongText,
  isShort,
  type Json,
  type JsonText,
  parseShort,
  type ReadLimits,
  readJson,
} from './long-json.ts';
import { runAtOnce, runInSteps, type Steps } from './steps.ts';

export interface DecodeLimits extends ReadLimits {
  /** Most changes and migrations in one batch. */
  changesPerBatch: number;
}

const checkpointValidator = Compile(CheckpointSchema);
const completedTableValidator = Compile(CompletedTableSchema);
const messageValidators = Object.fromEntries(
  Object.entries(CLIENT_MESSAGE_SCHEMAS).map(([type, schema]) => [type, Compile<TSchema>(schema)]),
);
const MESSAGE_NAMES = new Set(
  Object.values(CLIENT_MESSAGE_SCHEMAS).flatMap(({ properties }) => Object.keys(properties)),
);
const CHECKPOINT_NAMES = new Set(Object.keys(CheckpointSchema.properties));
const BODY_NAMES = new Set(['changes']);
const CHECKPOINT_BODY_NAMES = new Set([...CHECKPOINT_NAMES, 'checkpoint']);

/** A refusal of a message with a known request id. */
export class RefusedRequest extends SyncError {
  readonly requestId: string;

  constructor({ code, message, cause, limit }: SyncError, requestId: string) {
    super(code, message, { cause, ...(limit === undefined ? {} : { limit }) });
    this.requestId = requestId;
  }
}

/** The request id of any value, if it has one. */
export function requestIdOf(message: unknown): string | undefined {
  const requestId: unknown = isObject(message) ? Reflect.get(message, 'requestId') : undefined;
  return typeof requestId === 'string' ? requestId : undefined;
}

/**
 * Decodes one message of a client: at once, unless it is long.
 * @param turn resolves when other work has had its turn
 * @throws SyncError MESSAGE_ERROR, UNKNOWN_MESSAGE, TOO_LARGE, PROTOCOL_VERSION_MISMATCH; as a
 *   `RefusedRequest` if the message has a `requestId`
 */
export function decodeClientMessage(
  text: JsonText,
  limits: DecodeLimits,
  turn: () => Promise<unknown>,
): ClientMessage | Promise<ClientMessage> {
  if (isShort(text, limits)) return decodeShort(text, limits);
  const steps = decodeInSteps(text, limits);
  return isLongText(text) ? runInSteps(steps, turn) : runAtOnce(steps);
}

function decodeShort(text: JsonText, limits: DecodeLimits): ClientMessage {
  let value: unknown;
  try {
    ({ value } = parseShort(text));
    const message = checkedMessage(value);
    if (message.type !== 'apply_changes') return message;
    const { type, requestId, changes } = message;
    return { type, requestId, changes: decodeParsed(changes, limits.changesPerBatch, 'changes') };
  } catch (error) {
    const found = value === undefined ? runAtOnce(findText(text, 'requestId')) : requestIdOf(value);
    throw asRefused(error, found);
  }
}

/** The same, of any length, in steps. */
export function* decodeInSteps(text: JsonText, limits: DecodeLimits): Steps<ClientMessage> {
  let envelope: Envelope | undefined;
  try {
    const json = yield* readJson(text, limits);
    envelope = yield* Envelope.read(json, '', MESSAGE_NAMES, ['changes']);
    const message = checkedMessage(envelope.value);
    if (message.type !== 'apply_changes') return message;
    const list = envelope.list('changes');
    const decoded = decodeChangeSets(list, limits.changesPerBatch, 'changes');
    const changes = Array.isArray(decoded) ? decoded : yield* decoded;
    return { type: message.type, requestId: message.requestId, changes };
  } catch (error) {
    // What can't be read, or has too many values to be, is not parsed for it.
    const found =
      envelope === undefined ? yield* findText(text, 'requestId') : requestIdOf(envelope.value);
    throw asRefused(error, found);
  }
}

function asRefused(error: unknown, requestId: string | undefined): unknown {
  if (!(error instanceof SyncError) || requestId === undefined) return error;
  return new RefusedRequest(error, requestId);
}

/** Checks a message without its change sets. */
function checkedMessage(value: unknown): ClientMessage {
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
  if (message.type === 'resume_snapshot') checkCheckpoint(message.checkpoint, 'checkpoint');
  return message;
}

/** Runs before any other check: the handshake of another version may have another shape. */
function refuseOtherVersions(handshake: object): void {
  const version: unknown = Reflect.get(handshake, 'protocolVersion');
  if (version === undefined || version === PROTOCOL_VERSION) return;
  throw new SyncError(
    'PROTOCOL_VERSION_MISMATCH',
    `this server speaks protocol version ${PROTOCOL_VERSION}`,
  );
}

/**
 * Decodes the body of `POST /changes`: an array of change sets, or `{changes}`. Throws as for a
 * message.
 */
export function* decodeApplyBody(text: JsonText, limits: DecodeLimits): Steps<WireChangeSet[]> {
  const json = yield* readJson(text, limits);
  const { list, place } = yield* readBatch(json);
  const decoded = decodeChangeSets(list, limits.changesPerBatch, place);
  return Array.isArray(decoded) ? decoded : yield* decoded;
}

function* readBatch(json: Json): Steps<{ list: List; place: string }> {
  if (!('value' in json) && json.isArray) return { list: json, place: '' };
  const envelope = yield* Envelope.read(json, '', BODY_NAMES, ['changes']);
  const { value } = envelope;
  if (Array.isArray(value)) return { list: value, place: '' };
  if (!isObject(value) || !Array.isArray(Reflect.get(value, 'changes'))) {
    refuse('', 'the body must be an array of change sets or {changes}');
  }
  return { list: envelope.list('changes'), place: 'changes' };
}

/**
 * Decodes the body of `POST /snapshot`: a checkpoint, or `{checkpoint}`. Throws as for a message.
 */
export function* decodeCheckpointBody(text: JsonText, limits: DecodeLimits): Steps<WireCheckpoint> {
  const json = yield* readJson(text, limits);
  const { value } = yield* Envelope.read(json, '', CHECKPOINT_BODY_NAMES);
  const isWrapped = isObject(value) && Object.hasOwn(value, 'checkpoint');
  const checkpoint: unknown = isWrapped ? Reflect.get(value, 'checkpoint') : value;
  checkCheckpoint(checkpoint, isWrapped ? 'checkpoint' : '');
  return checkpoint;
}

function checkCheckpoint(value: unknown, place: string): asserts value is WireCheckpoint {
  if (checkpointValidator.Check(value)) return;
  const tables: unknown = isObject(value) ? Reflect.get(value, 'completedTables') : undefined;
  if (Array.isArray(tables)) {
    const here = `${place}.completedTables`.replace(/^\./, '');
    if (tables.length > COMPLETED_TABLES_MAX) {
      refuse(here, `must not have more than ${COMPLETED_TABLES_MAX} items`);
    }
    const index = tables.findIndex((table) => !completedTableValidator.Check(table));
    if (index >= 0) explain(completedTableValidator, tables[index], `${here}[${index}]`);
  }
  explain(checkpointValidator, value, place);
}
