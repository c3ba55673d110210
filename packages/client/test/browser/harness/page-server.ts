/** Bundles a page's script as an app's bundler would, and serves it: a secure context, as locks need it. */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'esbuild';

export interface PageServer {
  /** `http://localhost:<port>/` */
  url: string;
  close(): Promise<void>;
}

const HTML = `<!doctype html>
<html lang="en">
<title>test</title>
<body></body>
<script type="module" src="/page.js"></script>
`;

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
  const server = createServer(({ url = '' }, response) => {
    const isScript = url.startsWith('/page.js');
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html; charset=utf-8');
    response.end(isScript ? script : HTML);
  });
  return { url: await listen(server), close: () => closeAll(server) };
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
