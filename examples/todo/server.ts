/**
 * The coordinator and the page of the app on one port: `npm run demo` in the checkout, and
 * `SYNC_PORT=8080 npm run demo` on another one. What is written is kept in `./.data`.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { createCoordinatorServer, loadConfig } from 'sync-coordinator';
import todo from './hooks.ts';
import { USERS } from './users.ts';

const page = new URL('page/', import.meta.url);

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL('main.tsx', page))],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  write: false,
});

const server = await createCoordinatorServer({
  config: loadConfig({
    overrides: {
      // The tokens are no secret, so this is for the own machine.
      host: '127.0.0.1',
      auth: { mode: 'token-whitelist', tokens: USERS.map(({ token }) => token) },
    },
  }),
  hooks: todo,
});

const files = {
  '/': ['text/html; charset=utf-8', readFileSync(new URL('index.html', page))],
  '/style.css': ['text/css; charset=utf-8', readFileSync(new URL('style.css', page))],
  '/main.js': ['text/javascript; charset=utf-8', Buffer.from(outputFiles[0]?.contents ?? '')],
} as const;
for (const [path, [type, content]] of Object.entries(files)) {
  server.app.get(path, (_request, reply) => reply.type(type).send(content));
}

const { port } = await server.start();
const address = `http://localhost:${port}/`;
console.log(`The demo runs: ${USERS.map(({ name }) => `${address}?user=${name}`).join(' and ')}`);
console.log('Open both, side by side. Ctrl-C ends it.');
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => server.stop());
