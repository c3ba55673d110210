/** A Chromium from npm with the page, bundled from what is built. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { launchChromium } from '../../packages/client/test/browser/harness/chromium.ts';
import type { RunContext } from '../lib/run-context.ts';
import type { methods } from './page.ts';
import type { Recording } from './replay.ts';

export type Ask = (method: keyof typeof methods) => Promise<number>;

/** @returns asks the page to measure something */
export async function openPage(context: RunContext, recording: Recording): Promise<Ask> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('page.ts', import.meta.url))],
    bundle: true,
    write: false,
    format: 'esm',
    minify: true,
  });
  const bodies: Record<string, [type: string, body: string]> = {
    '/': ['text/html', '<!doctype html><script type="module" src="/page.js"></script>'],
    '/page.js': ['text/javascript', outputFiles[0]?.text ?? ''],
    '/recording': ['application/json', JSON.stringify(recording)],
  };
  const server = createServer(({ url = '' }, response) => {
    const [type, body] = bodies[url] ?? ['text/plain', ''];
    response.setHeader('content-type', type);
    response.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.onStop(async () => {
    server.closeAllConnections();
    server.close();
  });
  const browser = await launchChromium();
  context.onStop(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
  return (method) => page.evaluate(`methods.${method}()`);
}
