/** Firefox of the system, over its own Marionette: WebDriver's commands as JSON on a socket. */

import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustBeInstalled, type Program, startProgram, untilThere } from './program.ts';
import type { BrowserProgram } from './tab.ts';
import { type Driver, drivenProfile } from './webdriver.ts';

const PATH = '/usr/bin/firefox-esr';

const PREFERENCES = {
  'marionette.port': 0,
  'app.update.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.page': 0,
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.enabled': false,
  // Each tab has a process of its own, as far as there are four.
  'dom.ipc.processCount.webIsolated': 4,
};

/** Of all sites together, in KiB: as little as one may have. */
const LITTLE_ROOM = { 'dom.quotaManager.temporaryStorage.fixedLimit': 10 * 1024 };

/** Messages are texts of JSON, each after its length in bytes and a colon. */
class Marionette {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (error: Error | undefined, value?: unknown) => void>();
  #received = Buffer.alloc(0);
  #commands = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (data) => this.#receive(data));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      for (const settle of this.#waiting.values()) settle(new Error('Firefox has gone'));
    });
  }

  #receive(data: Buffer): void {
    this.#received = Buffer.concat([this.#received, data]);
    for (;;) {
      const colon = this.#received.indexOf(':');
      const start = colon + 1;
      const end = start + Number(this.#received.toString('latin1', 0, Math.max(0, colon)));
      if (colon === -1 || this.#received.length < end) return;
      const message = JSON.parse(this.#received.toString('utf8', start, end));
      this.#received = this.#received.subarray(end);
      // The first one says hello.
      if (!Array.isArray(message)) continue;
      const [, id, error, value] = message;
      this.#waiting.get(id)?.(error === null ? undefined : new Error(error.message), value);
      this.#waiting.delete(id);
    }
  }

  send<Result = unknown>(command: string, parameters: object = {}): Promise<Result> {
    const id = ++this.#commands;
    const text = JSON.stringify([0, id, command, parameters]);
    this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (error, value) =>
        error === undefined ? resolve(value as Result) : reject(error),
      );
    });
  }

  async run(script: string): Promise<unknown> {
    const { value } = await this.send<{ value: unknown }>('WebDriver:ExecuteScript', {
      script,
      args: [],
      sandbox: null,
    });
    return value;
  }

  /** In the browser itself, which may do anything. */
  async runInside(script: string): Promise<unknown> {
    await this.send('Marionette:SetContext', { value: 'chrome' });
    try {
      return await this.run(script);
    } finally {
      await this.send('Marionette:SetContext', { value: 'content' });
    }
  }
}

function driver(marionette: Marionette, end: () => Promise<void>): Driver {
  const pidOfTab = async () => {
    const script = 'return gBrowser.selectedBrowser.browsingContext.currentWindowGlobal.osPid;';
    return Number(await marionette.runInside(script));
  };
  return {
    async currentTab() {
      return (await marionette.send<{ value: string }>('WebDriver:GetWindowHandle')).value;
    },
    async openTab() {
      const { handle } = await marionette.send<{ handle: string }>('WebDriver:NewWindow', {
        type: 'tab',
      });
      return handle;
    },
    switchTo: (handle) => marionette.send('WebDriver:SwitchToWindow', { handle, focus: true }),
    navigate: (url) => marionette.send('WebDriver:Navigate', { url }),
    back: () => marionette.send('WebDriver:Back'),
    reload: () => marionette.send('WebDriver:Refresh'),
    closeTab: () => marionette.send('WebDriver:CloseWindow'),
    run: (script) => marionette.run(script),
    async crash() {
      process.kill(await pidOfTab(), 'SIGKILL');
    },
    async stop() {
      const pid = await pidOfTab();
      process.kill(pid, 'SIGSTOP');
      return () => process.kill(pid, 'SIGCONT');
    },
    end,
  };
}

function writePreferences(directory: string, preferences: object): void {
  const lines = Object.entries(preferences).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
  );
  writeFileSync(join(directory, 'user.js'), lines.join(''));
}

async function connectTo(program: Program, directory: string): Promise<Marionette> {
  const portFile = join(directory, 'MarionetteActivePort');
  const port = await untilThere(program, () => {
    const text = existsSync(portFile) ? readFileSync(portFile, 'utf8') : '';
    return text === '' ? undefined : Number(text);
  });
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return new Marionette(socket);
}

export async function launchFirefox(): Promise<BrowserProgram> {
  const path = mustBeInstalled(PATH, 'firefox-esr');
  return {
    async profile(url, { hasLittleRoom }) {
      const directory = mkdtempSync(join(tmpdir(), 'sync-firefox-'));
      writePreferences(directory, { ...PREFERENCES, ...(hasLittleRoom && LITTLE_ROOM) });
      const program = startProgram(path, [
        ...['--headless', '--marionette', '--remote-allow-system-access', '--no-remote'],
        ...['--profile', directory],
      ]);
      const end = async () => {
        await program.kill();
        rmSync(directory, { recursive: true, maxRetries: 10 });
      };
      try {
        const marionette = await connectTo(program, directory);
        await marionette.send('WebDriver:NewSession', { capabilities: { alwaysMatch: {} } });
        return await drivenProfile(driver(marionette, end), url);
      } catch (error) {
        await end();
        throw error;
      }
    },
    async close() {},
  };
}
