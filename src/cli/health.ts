/** `sync-coordinator health`: asks the server of this configuration, on this machine, how it is. */

import { get } from 'node:http';
import type { ResolvedConfig } from '../config/resolve-config.ts';
import { PACKAGE_NAME } from '../modules/own-package.ts';

export interface HealthOptions {
  /** Whether it is to be sent clients, instead of whether it lives. */
  ready?: boolean;
}

const ANSWER_MS = 3000;
/** More than a reason is no answer of ours. */
const ANSWER_LENGTH_MAX = 1000;
/** Enough of a stranger's answer to tell whose it is. */
const QUOTED_LENGTH_MAX = 100;

/** @throws Error of a server that is not as it should be */
export async function health(
  { config: { host, port, basePath } }: ResolvedConfig,
  { ready = false }: HealthOptions,
): Promise<void> {
  if (port === 0) throw new Error('port 0 is another one at each start: give the port that it has');
  const url = `http://${hostToAsk(host)}:${port}${basePath}${ready ? '/readyz' : '/livez'}`;
  const { status, text } = await ask(url);
  if (status !== 200) throw new Error(`${url} answered ${status}: ${text}`);
  if (!isOurs(text, ready ? 'ready' : 'live')) {
    throw new Error(`${url} is answered by another program: ${text.slice(0, QUOTED_LENGTH_MAX)}`);
  }
  process.stdout.write(`${PACKAGE_NAME}: ${url} answered ${status}\n`);
}

/** Any server may say 200 to whatever it is asked. */
function isOurs(text: string, state: 'live' | 'ready'): boolean {
  try {
    const { ok, data } = Object(JSON.parse(text));
    return ok === true && Object(data)[state] === true;
  } catch {
    return false;
  }
}

/** One that leads to this machine, where the host stands for all of its addresses. */
function hostToAsk(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

function ask(url: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error & { code?: string }) =>
      reject(new Error(`${url} does not answer: ${cause.message || cause.code}`, { cause }));
    const request = get(
      url,
      { agent: false, signal: AbortSignal.timeout(ANSWER_MS) },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (data: string) => {
          text = (text + data).slice(0, ANSWER_LENGTH_MAX);
        });
        response.on('end', () => resolve({ status: response.statusCode, text }));
        response.on('error', fail);
      },
    );
    request.on('error', fail);
  });
}
