/**
 * Gives the lines of an export another coordinator site id, for a database that replaces another
 * one. All positions keep their time and order and get the new site id. So a device that reads the
 * log from its beginning always has a position of it, and no device has such a position from
 * before. The head moves to a position after all that were ever given out, in the store or in the
 * file: an older position of another site id belongs to another history.
 */

import { decodeHlc, encodeHlc, type HlcText } from '../../clock/hlc.ts';
import { hlcSite, type SiteIdText, textToSiteId } from '../../clock/site-id.ts';
import type { ExportLine, LineOf } from './line-schemas.ts';

/** @param replacedAt a position of the new site id */
export function* underNewSite(line: ExportLine, replacedAt: HlcText): Generator<ExportLine> {
  const site = hlcSite(replacedAt);
  const move = (position: HlcText) => withSite(position, site);
  switch (line.type) {
    case 'deletion':
      yield { ...line, position: move(line.position) };
      return;
    case 'transaction':
      yield { ...line, changeSet: { ...line.changeSet, hlc: move(line.changeSet.hlc) } };
      return;
    case 'held':
      yield { ...line, held: withPositions(line.held, move) };
      return;
    case 'ddl':
      yield { ...line, position: move(line.position) };
      return;
    case 'migration':
      yield { ...line, migration: { ...line.migration, at: move(line.migration.at) } };
      return;
    case 'table':
      yield { ...line, table: { ...line.table, changed: move(line.table.changed) } };
      return;
    case 'row':
      yield withDeletion(line, move);
      return;
    case 'site':
      yield {
        ...line,
        state: { ...line.state, ...movedIfAny('snapshot', line.state.snapshot, move) },
      };
      return;
    case 'meta':
      yield* metaUnderNewSite(line, replacedAt, move);
      return;
    default:
      yield line;
  }
}

function withPositions(held: LineOf<'held'>['held'], move: Move): LineOf<'held'>['held'] {
  const moved = <Held extends { at?: HlcText }>(held: Held): Held => ({
    ...held,
    ...movedIfAny('at', held.at, move),
  });
  const sites = held.sites.map(({ row, cells, ...site }) => ({
    ...site,
    ...(row && { row: moved(row) }),
    cells: cells.map(moved),
  }));
  return { ...held, sites };
}

type Move = (position: HlcText) => HlcText;

function* metaUnderNewSite(
  line: LineOf<'meta'>,
  replacedAt: HlcText,
  move: Move,
): Generator<ExportLine> {
  switch (line.name) {
    case 'head': {
      const endedAt = move(line.value.endedAt);
      yield { ...line, value: { ...line.value, position: replacedAt, endedAt } };
      return;
    }
    case 'horizon':
      yield { ...line, value: move(line.value) };
      return;
    // `site` writes a new one, which comes before it in the order of keys.
    case 'replaced':
      return;
    case 'site':
      yield { type: 'meta', name: 'replaced', value: replacedAt };
      yield { ...line, value: hlcSite(replacedAt) };
  }
}

function withDeletion(line: LineOf<'row'>, move: Move): ExportLine {
  const { deletion } = line;
  if (deletion === undefined) return line;
  return { ...line, deletion: { ...deletion, ...movedIfAny('position', deletion.position, move) } };
}

/** No field for a missing position: a field that is `undefined` would differ. */
function movedIfAny<N extends string>(name: N, position: HlcText | undefined, move: Move) {
  return position === undefined ? {} : { [name]: move(position) };
}

function withSite(position: HlcText, site: SiteIdText): HlcText {
  return encodeHlc({ ...decodeHlc(position), siteId: textToSiteId(site) });
}
