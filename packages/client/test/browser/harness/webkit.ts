/** WebKit of the system (WebKitGTK's MiniBrowser), over WebDriver; it needs a screen, and Xvfb is one. */

import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { mustBeInstalled, type Program, startProgram, untilThere } from './program.ts';
import type { BrowserProgram } from './tab.ts';
import { type Driver, drivenProfile } from './webdriver.ts';

const PACKAGES = 'webkit2gtk-driver xvfb';
const LIBRARIES = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;

type Send = <Result>(method: string, path: string, body?: object) => Promise<Result>;

function sender(address: string): Send {
  return async <Result>(method: string, path: string, body?: object) => {
    const response = await fetch(address + path, { method, body: body && JSON.stringify(body) });
    const { value } = (await response.json()) as { value: Result & { message?: string } };
    if (!response.ok) throw new Error(`${method} ${path}: ${value.message}`);
    return value;
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function driver(send: Send, end: () => Promise<void>): Driver {
  return {
    currentTab: () => send('GET', '/window'),
    async openTab() {
      const { handle } = await send<{ handle: string }>('POST', '/window/new', { type: 'tab' });
      return handle;
    },
    switchTo: (handle) => send('POST', '/window', { handle }),
    navigate: (url) => send('POST', '/url', { url }),
    back: () => send('POST', '/back', {}),
    reload: () => send('POST', '/refresh', {}),
    closeTab: () => send('DELETE', '/window'),
    run: (script) => send('POST', '/execute/sync', { script, args: [] }),
    async crash() {
      throw new Error('nobody tells which process is that of a tab');
    },
    end,
  };
}

/** @returns its name, such as `:7` */
async function startScreen(): Promise<{ screen: Program; name: string }> {
  const args = ['-displayfd', '1', '-screen', '0', '800x600x24', '-nolisten', 'tcp'];
  const screen = startProgram(mustBeInstalled('/usr/bin/Xvfb', PACKAGES), args);
  const name = await untilThere(screen, () => {
    const [, number] = /^(\d+)$/m.exec(screen.output()) ?? [];
    return number === undefined ? undefined : `:${number}`;
  });
  return { screen, name };
}

export async function launchWebKit(): Promise<BrowserProgram> {
  const path = mustBeInstalled('/usr/bin/WebKitWebDriver', PACKAGES);
  const binary = mustBeInstalled(`${LIBRARIES}/webkit2gtk-4.1/MiniBrowser`, PACKAGES);
  const { screen, name } = await startScreen();
  const env = {
    DISPLAY: name,
    WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
    WEBKIT_DISABLE_COMPOSITING_MODE: '1',
    LIBGL_ALWAYS_SOFTWARE: '1',
  };
  return {
    async profile(url) {
      const port = await freePort();
      const program = startProgram(path, [`--port=${port}`, '--host=127.0.0.1'], env);
      const address = `http://127.0.0.1:${port}`;
      try {
        await untilThere(program, () => fetch(`${address}/status`).catch(() => undefined));
        const options = { binary, args: ['--automation'] };
        const { sessionId } = await sender(address)<{ sessionId: string }>('POST', '/session', {
          capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': options } },
        });
        const send = sender(`${address}/session/${sessionId}`);
        // Else a script's time would be measured with the page's timers, which a test may move on.
        await send('POST', '/timeouts', { script: null });
        return await drivenProfile(
          driver(send, () => program.kill()),
          url,
        );
      } catch (error) {
        await program.kill();
        throw error;
      }
    },
    close: () => screen.kill(),
  };
}
