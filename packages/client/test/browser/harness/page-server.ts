/** Bundles a page's script as an app's bundler would, and serves it: a secure context, as locks need it. */

import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'esbuild';
import type { Tab } from './tab.ts';

export interface PageServer {
  /** `http://localhost:<port>/` */
  url: string;
  /** The tab waits for an answer and does nothing else, until that is called which this returns. */
  hold(tab: Tab): Promise<() => void>;
  close(): Promise<void>;
}

const HTML = `<!doctype html>
<html lang="en">
<title>test</title>
<script>
  var uncaught = [];
  addEventListener('error', ({ message }) => uncaught.push(message));
  addEventListener('unhandledrejection', ({ reason }) => uncaught.push(String(reason)));
</script>
<body></body>
<script type="module" src="/page.js"></script>
`;

const HTML_TYPE = 'text/html; charset=utf-8';

export async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"development"' },
    logLevel: 'silent',
  });
  return outputFiles[0]?.text ?? '';
}

/** @param entry the file of the page's script */
export async function servePage(entry: string): Promise<PageServer> {
  const script = await bundle(entry);
  const asked = new Map<string, (response: ServerResponse) => void>();
  const untilAsked = (path: string) =>
    new Promise<ServerResponse>((resolve) => {
      asked.set(path, resolve);
    });
  const server = createServer(({ url = '' }, response) => {
    const { pathname } = new URL(url, 'http://localhost');
    const tell = asked.get(pathname);
    if (tell !== undefined) return tell(response);
    // As the browser's own button does that clears a site's data.
    if (pathname === '/clear') response.setHeader('clear-site-data', '"storage"');
    const isScript = pathname === '/page.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : HTML_TYPE);
    response.end(isScript ? script : HTML);
  });
  return {
    url: await listen(server),
    async hold(tab) {
      const [begun, held] = [untilAsked('/begin'), untilAsked('/hold')];
      // Not at once: who drives the browser is to be answered first.
      await tab.evaluate(() => {
        fetch('/begin').then(() => {
          const request = new XMLHttpRequest();
          request.open('GET', '/hold', false);
          request.send();
        });
      });
      (await begun).end();
      const response = await held;
      return () => response.end();
    },
    close: () => closeAll(server),
  };
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://localhost:${(server.address() as AddressInfo).port}/`;
}

async function closeAll(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
