/** `sync-coordinator check`: what the server would start with, and who decided it. */

import { Registry } from 'prom-client';
import { optionToText } from '../config/option-display.ts';
import { CONFIG_OPTIONS } from '../config/options.ts';
import { PACKAGE_NAME } from '../config/own-package.ts';
import type { ResolvedConfig } from '../config/resolve-config.ts';
import type { HookSurroundings } from '../hooks/context.ts';
import { createHookMetrics } from '../hooks/hook-metrics.ts';
import { HOOK_KINDS, HOOK_NAMES } from '../hooks/kinds.ts';
import type { LoadedHooks } from '../hooks/loaded-hooks.ts';
import { loadHooks } from '../hooks/loader.ts';
import { LateReader } from '../service/database-reader.ts';
import { findStorage } from '../storage/open-storage.ts';
import { configToWarnings } from './warnings.ts';

/** A longer value moves what follows it, instead of the whole column. */
const COLUMN_WIDTH_MAX = 40;

/** Prints it and ends the process, which hook modules may keep busy. */
export async function check(resolved: ResolvedConfig): Promise<void> {
  const { config, sources } = resolved;
  await findStorage(config.storage.url, process.cwd(), sources.get('storage.url'));
  const hooks = await loadHooks(config, undefined, { surroundings: NOTHING_TO_READ });
  process.stdout.write(`${configToText(resolved)}\n\n${hooksToText(hooks)}\n`);
  for (const warning of configToWarnings(config)) {
    process.stderr.write(`${PACKAGE_NAME}: warning: ${warning}\n`);
  }
  process.exit(0);
}

/** A check has no databases, and nobody reads its metrics. */
const NOTHING_TO_READ: HookSurroundings = {
  metricsOf: (module) => createHookMetrics(module, new Registry()),
  read: new LateReader(),
};

export function configToText({ config, sources, filePath }: ResolvedConfig): string {
  const rows = CONFIG_OPTIONS.map((option) => {
    const value = optionToText(option, valueAt(config, option.path));
    return [option.path, value, sources.get(option.path) ?? ''];
  });
  return [`configuration file: ${filePath ?? 'none'}`, '', ...toColumns(rows)].join('\n');
}

/** Each hook, how its modules act as one, and the modules in their order. */
export function hooksToText(loaded: readonly LoadedHooks[]): string {
  const rows = HOOK_NAMES.map((hook) => {
    const names = loaded.filter(({ hooks }) => hooks[hook] !== undefined).map(({ name }) => name);
    return [hook, HOOK_KINDS[hook], names.join(' → ') || '-'];
  });
  return ['hooks:', '', ...toColumns(rows)].join('\n');
}

function valueAt(tree: object, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (node, key) =>
        typeof node === 'object' && node !== null ? Reflect.get(node, key) : undefined,
      tree,
    );
}

function toColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = [0, 1].map((column) =>
    Math.min(COLUMN_WIDTH_MAX, Math.max(...rows.map((row) => row[column]?.length ?? 0))),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
