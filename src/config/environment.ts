/**
 * The options that the environment sets, and what in it looks like one and is none. Kubernetes tells every
 * pod of the Services in its namespace, and of one that is called `sync` by names that are ours.
 */

import { editDistance } from '../errors/edit-distance.ts';
import { type Layer, textsToLayer } from './layer.ts';
import { shorten } from './option-display.ts';
import { CONFIG_OPTIONS } from './options.ts';

/** Texts by name, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

const SERVICE_ADDRESS = /^(?:tcp|udp|sctp):\/\/\S+:\d+$/i;
const SERVICE_NAME =
  /_SERVICE_(?:HOST$|PORT(?:_|$))|_PORT_\d{1,5}_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?$/;
const ALMOST_OURS = /^sync(?:[_.-]?coordinator)?[_.-]/i;

/** A variable that is set to nothing is not set: compose files and shells leave them so. */
export function environmentLayer(env: Environment, cwd: string): Layer {
  const texts = CONFIG_OPTIONS.flatMap(({ path, env: name }) => {
    const text = env[name];
    return text && !isServiceLink(name, text) ? [{ path, text, source: `env ${name}` }] : [];
  });
  return textsToLayer(texts, cwd);
}

/** What is passed over, one line each. */
export function environmentNotes(env: Environment): string[] {
  const ours = new Set(CONFIG_OPTIONS.map(({ env: name }) => name));
  return Object.entries(env).flatMap(([name, value = '']) => {
    if (value === '' || !(ALMOST_OURS.test(name) || WRITTEN_TOGETHER.has(bare(name)))) return [];
    if (isServiceLink(name, value)) return ours.has(name) ? [linkToText(name, value)] : [];
    return ours.has(name) ? [] : [`${name} is set, and is no variable of ours: ${nearest(name)}`];
  });
}

function isServiceLink(name: string, value: string): boolean {
  return SERVICE_NAME.test(name) || (name.endsWith('_PORT') && SERVICE_ADDRESS.test(value));
}

function linkToText(name: string, value: string): string {
  return `${name} is ${shorten(value)}, which Kubernetes sets for a Service called "sync", and is ignored; with enableServiceLinks: false in the pod it does not`;
}

/** A name without what is only there to be read by people. */
function bare(name: string): string {
  return name.replaceAll(/[_.-]/g, '').toLowerCase();
}

/** `SYNCAUTH_MODE` and the like. */
const WRITTEN_TOGETHER = new Set(CONFIG_OPTIONS.map(({ env }) => bare(env)));

function nearest(name: string): string {
  const ownPart = (text: string) => bare(text.replace(ALMOST_OURS, 'sync')).replace(/^sync/, '');
  const [best] = CONFIG_OPTIONS.map(({ env }) => ({
    env,
    distance: editDistance(ownPart(name), ownPart(env)),
  })).sort((a, b) => a.distance - b.distance);
  const isNear = best !== undefined && best.distance <= Math.max(2, ownPart(name).length / 4);
  return isNear ? `did you mean ${best.env}?` : 'sync-coordinator --help lists them';
}
