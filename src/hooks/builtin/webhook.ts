/**
 * Sends changes to an HTTP endpoint: signed, in the order of arrival, at least once, also across a
 * restart or a kill. Events wait in a bounded queue on disk.
 */

import { type Static, Type } from 'typebox';
import { type SiteId, siteIdToText } from '../../clock/site-id.ts';
import type { ChangeSet } from '../../protocol/types.ts';
import { defineHooks } from '../define-hooks.ts';
import { TableMap } from '../names/table-list.ts';
import { type PumpOptions, WebhookPump } from './webhook-pump.ts';
import { WebhookQueue } from './webhook-queue.ts';

const Names = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description }));
const Milliseconds = (initial: number, description: string) =>
  Type.Integer({ default: initial, minimum: 1, maximum: 86_400_000, description });

const Options = Type.Object({
  url: Type.String({ pattern: '^https?://', description: 'Where events are posted to.' }),
  secret: Type.String({
    minLength: 16,
    secret: true,
    description: 'What they are signed with: `whsec_` and base64, or any text.',
  }),
  headers: Type.Record(Type.String(), Type.String(), {
    default: {},
    secret: true,
    description: 'More headers, such as `authorization`.',
  }),
  directory: Type.String({
    pattern: '\\S',
    description: 'Where the queue is kept, relative to the working directory.',
  }),
  databases: Names('The databases whose changes are told. Default: all.'),
  tables: Names(
    'The tables, as `table` or `schema.table`, in whatever case. Default: all, and all DDL.',
  ),
  queueMax: Type.Integer({
    default: 10_000,
    minimum: 1,
    description:
      'How many events may wait. Beyond it changes are taken up from the log when there is room again.',
  }),
  timeoutMs: Milliseconds(10_000, 'How long the endpoint may take to answer.'),
  backoffMinMs: Milliseconds(1000, 'How long to wait after a failure; it doubles with each.'),
  backoffMaxMs: Milliseconds(300_000, 'The longest to wait.'),
});

export type WebhookOptions = Partial<Static<typeof Options>> &
  Pick<Static<typeof Options>, 'url' | 'secret' | 'directory'>;

/**
 * The senders that are remembered for transactions that are yet to be taken up; the oldest are
 * forgotten.
 */
const SENDERS_MAX = 10_000;

export default defineHooks({
  name: 'webhook',
  options: Options,
  setup(options, context) {
    const { read, logger, signal, onClose } = context;
    const isListed = (databaseId: string) => options.databases?.includes(databaseId) ?? true;
    const tables = options.tables && TableMap.of(options.tables);
    const senders = new Map<string, string>();
    const senderKey = (databaseId: string, siteId: SiteId, transactionId: string) =>
      JSON.stringify([databaseId, siteIdToText(siteId), transactionId]);

    const pumpOptions: PumpOptions = {
      ...options,
      select: (changeSet) => selectTables(changeSet, tables),
      userOf(databaseId, { siteId, transactionId }) {
        const key = senderKey(databaseId, siteId, transactionId);
        const userId = senders.get(key);
        senders.delete(key);
        return userId;
      },
    };

    /** Forgets databases whose changes are not sent any more. */
    async function forgetAll(pump: WebhookPump, databaseIds: readonly string[]): Promise<void> {
      for (const databaseId of databaseIds) {
        await pump.forget(databaseId).catch((error: unknown) => {
          // The next start tries again, unless the pin has lapsed by then.
          if (!signal.aborted) logger.warn('database %s is still pinned: %O', databaseId, error);
        });
      }
    }

    let opened: ReturnType<typeof open> | undefined;
    async function open() {
      const queue = await WebhookQueue.open(options.directory, signal);
      const pump = new WebhookPump(queue, context, pumpOptions);
      const databaseIds = await queue.databaseIds();
      for (const databaseId of databaseIds) if (isListed(databaseId)) pump.kick(databaseId);
      const unlisted = databaseIds.filter((databaseId) => !isListed(databaseId));
      return { queue, pump, forgetting: forgetAll(pump, unlisted) };
    }
    // Only once the server is up: `check` sets up modules, too, while another server may run.
    const started = read.ready.then(() => {
      signal.throwIfAborted();
      opened = open();
      return opened;
    });
    started.catch((error: unknown) => {
      if (!signal.aborted) logger.error('the queue cannot be opened: %O', error);
    });
    onClose(async () => {
      const parts = await opened?.catch(() => undefined);
      await parts?.forgetting;
      await parts?.pump.close();
      await parts?.queue.close();
    });

    /** By database: resolves once its log has a cursor, after which all is taken up. */
    const registered = new Map<string, Promise<void>>();
    async function register(databaseId: string): Promise<void> {
      const { pump } = await started;
      await pump.register(databaseId);
    }

    return {
      async onBeforeApplyChanges({ userId, siteId, databaseId = '' }, changes) {
        if (!isListed(databaseId)) return { approved: changes, rejected: [] };
        const known = registered.get(databaseId) ?? register(databaseId);
        registered.set(databaseId, known);
        await known.catch((error: unknown) => {
          registered.delete(databaseId);
          throw error;
        });
        for (const { transactionId } of userId === undefined ? [] : changes) {
          senders.set(senderKey(databaseId, siteId, transactionId), userId ?? '');
          const [oldest = ''] = senders.keys();
          if (senders.size > SENDERS_MAX) senders.delete(oldest);
        }
        return { approved: changes, rejected: [] };
      },

      async onAfterApplyChanges({ databaseId = '' }, _changes, _result, { position }) {
        if (position === undefined || !isListed(databaseId)) return;
        const { pump } = await started;
        pump.kick(databaseId);
      },
    };
  },
});

function selectTables(
  changeSet: ChangeSet,
  tables: TableMap<true> | undefined,
): ChangeSet | undefined {
  if (tables === undefined) return changeSet;
  const changes = changeSet.changes.filter((change) => tables.get(change) !== undefined);
  return changes.length === 0 ? undefined : { ...changeSet, changes, schemaMigrations: [] };
}
