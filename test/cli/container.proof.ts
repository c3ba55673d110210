/** What a container needs of the command. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { createDir } from '../config/temp-dir.ts';
import { PAGES } from '../docs/pages.ts';
import { BUILT_COMMAND } from '../support/built-command.ts';
import { freePort } from '../support/free-port.ts';
import { runProcess, startProcess } from './run-process.ts';

test('health asks the server of the same configuration', async (t) => {
  const port = await freePort();
  const cwd = createDir(t, {
    'sync-coordinator.json': JSON.stringify({
      ...{ port, basePath: '/our/sync', storage: 'memory:', hooks: ['./hook.mjs'] },
    }),
    'hook.mjs': 'export default { onAuthorize: () => true };',
  });
  const down = await runProcess(t, ['health'], { cwd });
  assert.equal(down.code, 1);
  assert.match(down.stderr, /^sync-coordinator: http:\S+\/our\/sync\/livez does not answer: .*\n$/);
  const server = startProcess(t, [], { cwd });
  await server.waitFor(/hooks +1\n/);
  for (const [args, path] of [
    [[], 'livez'],
    [['--ready'], 'readyz'],
  ] as const) {
    const { code, stdout } = await runProcess(t, ['health', ...args], { cwd });
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^sync-coordinator: http:\\S+:${port}/our/sync/${path} `));
  }
  const elsewhere = await runProcess(t, ['health', '--base-path', '/other'], { cwd });
  assert.equal(elsewhere.code, 1);
  assert.match(elsewhere.stderr, /\/other\/livez answered 404: /);
  for (const host of ['::', 'localhost']) {
    assert.equal((await runProcess(t, ['health', '--host', host], { cwd })).code, 0, host);
  }
  server.child.kill('SIGTERM');
  assert.equal(await server.ended, 0);
});

test('health takes no other program on that port for the server', async (t) => {
  for (const text of [
    '<html>nginx</html>',
    '{}',
    'null',
    '{"ok":true}',
    '{"ok":true,"data":{"live":1}}',
  ]) {
    const server = createServer((_request, response) => response.end(text));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await runProcess(t, ['health', '--port', String(port)], {
      cwd: createDir(t),
    });
    assert.equal(code, 1, text);
    assert.match(stderr, /\/livez is answered by another program: /);
  }
});

/** As a user that no file knows, of group 0, without HOME. */
function asNobody(cwd: string, ...args: string[]): string {
  const command = ['--user', '--map-user=123456', '--map-group=0', process.execPath];
  const env = { PATH: process.env.PATH };
  return execFileSync('unshare', [...command, BUILT_COMMAND, ...args], {
    cwd,
    env,
    encoding: 'utf8',
  });
}

test('a user without a passwd entry and a home may run it', (t) => {
  const cwd = createDir(t, { 'hook.ts': 'export default { onAuthorize: (): boolean => true };' });
  assert.match(asNobody(cwd, '--version'), /^\d+\.\d+\.\d+\n$/);
  assert.match(asNobody(cwd, 'check', '--hooks', './hook.ts'), /hook\.ts/);
});

test('the documented Dockerfile checks with the command, and lets group 0 write the data', (t) => {
  const page = PAGES.find(({ name }) => name === 'docs/operating.md');
  const dockerfile = /```dockerfile\n([\s\S]*?)```/.exec(page?.text ?? '')?.[1] ?? '';
  assert.match(
    dockerfile,
    /^HEALTHCHECK .*CMD \["node", "dist\/src\/bin\/sync-coordinator\.js", "health"\]$/m,
  );
  const install = /^RUN install (.*) -o node (-g 0) \/data$/m.exec(dockerfile);
  const data = join(createDir(t), 'data');
  mkdirSync(data);
  execFileSync('install', [...(install?.[1] ?? '').split(' '), data]);
  const mode = execFileSync('stat', ['-c', '%a', data], { encoding: 'utf8' });
  assert.match(mode, /^\d?7[67]0\n$/);
  assert.match(dockerfile, /^USER 1000:0$/m);
});
