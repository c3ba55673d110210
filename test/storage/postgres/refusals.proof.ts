/** What a start says when PostgreSQL is not as it should be: one line, that names the setting. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { SyncError } from '../../../src/errors/sync-error.ts';
import { openPostgres, POSTGRES_PASSWORD, startPostgres } from '../../support/postgres.ts';

const postgres = await startPostgres();
after(() => postgres.stop());

async function refusalOf(url: string): Promise<SyncError> {
  const error: unknown = await openPostgres(url).then(
    (storage) => storage.close(),
    (refusal: unknown) => refusal,
  );
  assert.ok(error instanceof SyncError, `it was not refused: ${error}`);
  assert.match(error.message, /^storage\.url names [^\n]+$/);
  assert.doesNotMatch(error.message, new RegExp(`${POSTGRES_PASSWORD}|wrong-secret`));
  return error;
}

describe('a start on PostgreSQL is refused in one line', () => {
  test('when nothing listens there', async () => {
    const { message } = await refusalOf('postgres://u:wrong-secret@127.0.0.1:1/db');
    assert.match(message, /127\.0\.0\.1:1, .*nothing listens there/);
  });

  test('when the password is wrong, or is missing', async () => {
    const wrong = postgres.url().replace(POSTGRES_PASSWORD, 'wrong-secret');
    assert.match((await refusalOf(wrong)).message, /refuses the user or password/);
    const missing = postgres.url().replace(`:${POSTGRES_PASSWORD}`, '');
    assert.match((await refusalOf(missing)).message, /password: correct them|add one to the URL/);
  });

  test('when the database is not there', async () => {
    const url = postgres.url().replace('/postgres?', '/elsewhere?');
    assert.match((await refusalOf(url)).message, /no such database: create it/);
  });

  test('when TLS is asked for and not spoken', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on('warning', note);
    const { message } = await refusalOf(postgres.url({ sslmode: 'require' }));
    process.off('warning', note);
    assert.match(message, /speaks no TLS.*sslmode=disable/);
    assert.deepEqual(warnings, []);
  });

  test('when the user may not make the tables', async () => {
    await postgres.query("CREATE ROLE guest LOGIN PASSWORD 'wrong-secret'");
    const url = postgres.url().replace(`postgres:${POSTGRES_PASSWORD}@`, 'guest:wrong-secret@');
    assert.match((await refusalOf(url)).message, /lacks rights: grant CREATE/);
    // The other thing that it says helps as well.
    await postgres.query('CREATE SCHEMA given; GRANT ALL ON SCHEMA given TO guest');
    const given = url.replace(/schema=\w+/, 'schema=given');
    await (await openPostgres(given)).close();
  });

  test('when the tables are of a newer version', async () => {
    const url = postgres.url({ schema: 'newer' });
    await (await openPostgres(url)).close();
    await postgres.query('UPDATE newer.layout SET version = 99');
    const error = await refusalOf(url);
    assert.equal(error.code, 'STORE_FORMAT');
    assert.match(error.message, /layout 99; this program knows 1/);
  });

  test('when it takes no writes, as a replica', async () => {
    await postgres.query(`CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'wrong-secret'`);
    await postgres.query('ALTER ROLE reader SET default_transaction_read_only = on');
    const url = postgres.url().replace(`postgres:${POSTGRES_PASSWORD}@`, 'reader:wrong-secret@');
    assert.match((await refusalOf(url)).message, /read-only replica: name the primary/);
  });

  test('and the first host that takes writes is used, where several are named', async (t) => {
    const url = postgres.url().replace('@127', '@127.0.0.1:1,127');
    const storage = await openPostgres(url);
    t.after(() => storage.close());
    await (await storage.open('a')).close();
  });
});

describe('a URL that means nothing is refused without showing it', () => {
  for (const [url, message] of [
    ['postgres:', /names no host/],
    ['postgres://u:wrong-secret@/db', /names no host/],
    ['postgres://u:wrong-secret@host:99999/db', /host or host:port/],
    ['postgres://u:wrong-secret@a,,b/db', /host or host:port/],
    ['postgres://u:wrong-secret@a/db?schema=Public%22', /names a schema/],
    ['postgres://u:wrong-secret@a/db?target_session_attrs=any', /target_session_attrs/],
    ['postgres://u:wrong-secret@a/db?connect_timeout=soon', /connect_timeout to no whole number/],
    ['postgres://u:wrong-secret@a/db?query_timeout=0', /query_timeout to no whole number/],
    ['postgres://u:wrong-secret@a/db?query_timeout=9000', /query_timeout .*no more than idle_in/],
  ] as const) {
    test(url.replace('wrong-secret', '…'), async () => {
      const error = await openPostgres(url).catch((e) => e);
      assert.equal(error.code, 'CONFIG_INVALID');
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /wrong-secret/);
    });
  }
});
