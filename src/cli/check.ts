/** `sync-coordinator check`: what the server would start with, and who decided it. */

import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hookOptionsToText, optionToText, shorten, valueAt } from '../config/option-display.ts';
import { CONFIG_OPTIONS } from '../config/options.ts';
import type { ResolvedConfig } from '../config/resolve-config.ts';
import { HOOK_KINDS, HOOK_NAMES } from '../hooks/kinds.ts';
import type { LoadedHooks } from '../hooks/loading/loaded-hooks.ts';
import { loadHooks } from '../hooks/loading/loader.ts';
import { surroundingsWithoutServer } from '../service/hook-surroundings.ts';
import { findStorage } from '../storage/by-address/open-storage.ts';
import { startLogging } from './logging.ts';
import { configToWarnings, sayWarning } from './warnings.ts';

/** A longer value moves what follows it, instead of the whole column. */
const COLUMN_WIDTH_MAX = 40;

/** Prints it and ends the process, which hook modules may keep busy. */
export async function check(resolved: ResolvedConfig): Promise<void> {
  const { config, sources } = resolved;
  await findStorage(config.storage, process.cwd(), sources.get('storage.url'));
  // What they warn of when they are loaded is a part of the answer.
  startLogging('warn', '');
  const hooks = await loadHooks(config, undefined, {
    surroundings: { ...surroundingsWithoutServer(), isCheck: true },
  });
  process.stdout.write(`${configToText(resolved)}\n\n${hooksToText(hooks)}\n`);
  for (const { close } of hooks) await close();
  const kinds = HOOK_NAMES.filter((hook) => hooks.some((module) => module.hooks[hook]));
  for (const warning of await configToWarnings(resolved, kinds)) {
    sayWarning(warning);
  }
  process.exit(0);
}

export function configToText({ config, sources, filePath }: ResolvedConfig): string {
  const rows = CONFIG_OPTIONS.map((option) => {
    const value = optionToText(option, valueAt(config, option.path));
    return [option.path, value, sources.get(option.path) ?? ''];
  });
  return [`configuration file: ${filePath ?? 'none'}`, '', ...toColumns(rows)].join('\n');
}

/** Each hook, how its modules act as one, and the modules in their order. */
export function hooksToText(loaded: readonly LoadedHooks[], cwd = process.cwd()): string {
  const lines = HOOK_NAMES.flatMap((hook) => {
    const chain = loaded.filter(({ hooks }) => hooks[hook] !== undefined);
    const none = chain.length === 0 ? ': none' : '';
    const modules = chain.flatMap((module, i) => moduleToLines(module, i + 1, cwd));
    return [`${hook} (${HOOK_KINDS[hook]})${none}`, ...modules];
  });
  return ['hooks:', '', ...lines].join('\n');
}

function moduleToLines(loaded: LoadedHooks, number: number, cwd: string): string[] {
  const { name, module, version, options, optionsSchema } = loaded;
  const notes = [
    ...(name === module ? [] : [module]),
    sourceToText(loaded, cwd),
    ...(version === undefined ? [] : [`version ${version}`]),
  ];
  const line = `  ${number}. ${name}: ${notes.join(', ')}`;
  if (options === undefined) return [line];
  return [line, `     ${shorten(hookOptionsToText(options, optionsSchema))}`];
}

/** The file of a module, as one would name it from here. */
function sourceToText({ source }: LoadedHooks, cwd: string): string {
  if (!source.startsWith('file:')) return source;
  const path = fileURLToPath(source);
  const fromHere = relative(cwd, path);
  return fromHere.startsWith('..') ? path : fromHere;
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
