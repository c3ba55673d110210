/** The schema's options as flags of the command line, and back as texts by flag. */

import { Option } from 'commander';
import { CONFIG_OPTIONS, type ConfigOption } from '../config/options.ts';

export const CONFIG_FLAG = new Option(
  '--config <path>',
  'the configuration file (default: the first sync-coordinator.config.{ts,mts,js,mjs,cjs,json,yaml,yml}, sync-coordinator.{json,yaml,yml} or "sync-coordinator" in package.json of the working directory)',
);

export function configOptions(): Option[] {
  return CONFIG_OPTIONS.map((option) =>
    new Option(`${option.flag} <${placeholder(option)}>`, optionToHelp(option)).helpGroup(
      optionToGroup(option),
    ),
  );
}

/** What commander has read, as `resolveConfig` takes it. */
export function optionsToFlags(values: Readonly<Record<string, unknown>>): {
  configPath: string | undefined;
  flags: Record<string, string | undefined>;
} {
  const textOf = (flag: string) => {
    const value = values[new Option(flag).attributeName()];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    configPath: textOf('--config'),
    flags: Object.fromEntries(CONFIG_OPTIONS.map(({ flag }) => [flag, textOf(flag)])),
  };
}

function placeholder({ type }: ConfigOption): string {
  return /^\w+$/.test(type) ? type : 'value';
}

function optionToHelp({ description, initialText, type, env }: ConfigOption): string {
  const choices = type.includes(',') && !type.includes(' or ') ? ` One of ${type}.` : '';
  const text = `${description}${choices} (default: ${initialText}, env: ${env})`;
  return text.replaceAll('`', '');
}

function optionToGroup({ path }: ConfigOption): string {
  const [group = ''] = path.split('.');
  return path === group ? 'Server:' : `${group[0]?.toUpperCase()}${group.slice(1)}:`;
}
