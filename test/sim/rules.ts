/**
 * What the hooks of a simulation make of changes, and the same for its model of the merge. Which rule
 * concerns a change hangs on what it says alone, so that the model needs none of what the hooks run in.
 *
 *   forbidden …        refused; so is a deletion of row 0, and where `moves` of row 5
 *   row|column|table|secret …  stored elsewhere, without the mark
 *   late …             moved to another column, and refused there by the last rule
 *   edit …             stored as another value
 *   erase …            a deletion of the row
 *
 * Of the other deletions that of row 3 deletes another row, and that of row 4 writes a column.
 */

import type { SiteId } from '../../src/clock/site-id.ts';
import { answerHlc } from '../../src/engine/merge/compensation.ts';
import type { WireChange, WireChangeSet } from '../../src/protocol/schemas.ts';
import type { Random } from './random.ts';

/** `refuse`: hooks refuse changes; `move`: they rewrite others, too, and move some elsewhere. */
export type HooksMode = 'refuse' | 'move';
export const HOOKS_MODES: readonly HooksMode[] = ['refuse', 'move'];

/** Of each mode of DDL every second seed. */
export function seedToHooksMode(seed: number): HooksMode {
  return Math.floor(seed / 4) % 2 === 0 ? 'refuse' : 'move';
}

export interface Rules {
  onReject: 'keep' | 'revert';
  /** Whether a change that is refused takes its transaction with it. */
  isAtomic: boolean;
  /** Whether hooks also rewrite changes and move them elsewhere. */
  moves: boolean;
}

/** A change as far as rules look at it: on the wire, or as hooks see it. */
export interface Said {
  type: 'column' | 'delete';
  table: string;
  pk: readonly unknown[];
  value?: unknown;
}

/** What a rule puts in the place of what was said. */
export type Instead =
  | { type: 'delete'; pk?: number[] }
  | { type: 'column'; table?: string; pk?: number[]; column?: string; value: string };

/** `true` lets it pass, `false` refuses it. */
export type Ruling = boolean | Instead;

export interface Rule {
  name: string;
  isAtomic: boolean;
  rule(said: Said): Ruling;
}

/** Deletions of rows with this key are refused. */
export const FORBIDDEN_PK: readonly number[] = [0];
const KEPT_ROW = 5;
const ROW_DELETED_ELSEWHERE = 3;
const ROW_DELETED_SOFTLY = 4;
/** Between a row and the one that it is moved to. */
const ROWS_APART = 500;
const MARKS = ['row', 'column', 'table', 'secret', 'late', 'edit', 'edit', 'erase'] as const;
type Mark = (typeof MARKS)[number];

function isForbidden({ type, pk, value }: Said): boolean {
  return type === 'column' ? value === 'forbidden' : pk[0] === FORBIDDEN_PK[0];
}

function elsewhere(pk: readonly unknown[]): number[] {
  return [Number(pk[0]) + ROWS_APART];
}

function markOf({ value }: Said): { mark: string; rest: string } {
  const [mark = '', rest = ''] = typeof value === 'string' ? value.split(' ') : [];
  return { mark, rest };
}

function move(said: Said): Ruling {
  const { type, pk, table } = said;
  if (type === 'delete') {
    if (pk[0] === ROW_DELETED_ELSEWHERE) return { type, pk: elsewhere(pk) };
    if (pk[0] !== ROW_DELETED_SOFTLY) return true;
    return { type: 'column', column: 'gone', value: 'softly' };
  }
  const { mark, rest } = markOf(said);
  if (mark === 'row') return { type, pk: elsewhere(pk), value: rest };
  if (mark === 'column') return { type, column: 'd', value: rest };
  if (mark === 'table') return { type, table: table === 'u' ? 't' : 'u', value: rest };
  if (mark === 'secret') return { type, table: table === 'secret' ? 'u' : 'secret', value: rest };
  return mark === 'late' ? { type, column: 'd', value: 'too-late' } : true;
}

function edit(said: Said): Ruling {
  const { mark, rest } = markOf(said);
  if (mark === 'edit') return { type: 'column', value: `edited:${rest}` };
  return mark === 'erase' ? { type: 'delete' } : true;
}

/** In the order in which they are asked. */
export function rulesOf({ isAtomic, moves }: Rules): Rule[] {
  const refuse: Rule = { name: 'refuse', isAtomic, rule: (said) => !isForbidden(said) };
  if (!moves) return [refuse];
  const isKept = ({ type, pk }: Said) => type === 'delete' && pk[0] === KEPT_ROW;
  return [
    { ...refuse, rule: (said) => !isForbidden(said) && !isKept(said) },
    { name: 'move', isAtomic: false, rule: move },
    { name: 'edit', isAtomic: false, rule: edit },
    { name: 'last', isAtomic, rule: ({ value }) => value !== 'too-late' },
  ];
}

/** @returns the change, with what stands instead; nothing is left of a cell where a deletion does */
export function withInstead<C extends Said>(change: C, instead: Instead): C {
  return Object.assign({}, change, instead);
}

/** One change, and what the rules make of it, under the HLC that it was sent under. */
interface Judged {
  sent: WireChange;
  back: WireChange | undefined;
}

function judged({ changes }: WireChangeSet, rules: Rules): Judged[] {
  let all: Judged[] = changes.map((sent) => ({ sent, back: sent }));
  for (const { isAtomic, rule } of rulesOf(rules)) {
    const asked = all.filter(({ back }) => back !== undefined);
    const after = new Map(asked.map((each) => [each, each.back && ruled(each.back, rule)]));
    const isTorn = [...after.values()].includes(undefined);
    all = all.map((each) => ({
      sent: each.sent,
      back: isAtomic && isTorn ? undefined : after.get(each),
    }));
  }
  return all;
}

function ruled(change: WireChange, rule: Rule['rule']): WireChange | undefined {
  const ruling = rule(change);
  if (ruling === true) return change;
  return ruling === false ? undefined : withInstead(change, ruling);
}

/** What a coordinator with these rules stores of a change set: what it changed under its own HLC. */
export function storedOf(set: WireChangeSet, rules: Rules, coordinator: SiteId): WireChange[] {
  return judged(set, rules).flatMap(({ sent, back }) => {
    if (back === undefined) return [];
    return back === sent ? sent : { ...back, hlc: answerHlc(sent.hlc, coordinator) };
  });
}

/** Tables to which something of it goes. */
export function tablesOf(set: WireChangeSet, rules: Rules): string[] {
  return judged(set, rules).flatMap(({ back }) => back?.table ?? []);
}

/** Which of its changes are refused. */
export function refusedOf(set: WireChangeSet, rules: Rules): WireChange[] {
  return judged(set, rules).flatMap(({ sent, back }) => (back === undefined ? sent : []));
}

/** What is left of it on a device that takes back by itself what is refused. */
export function heldOf(set: WireChangeSet, rules: Rules): WireChange[] {
  return judged(set, rules).flatMap(({ sent, back }) => (back === undefined ? [] : sent));
}

/** Which of its changes are stored as something else, if at all. */
export function replacedOf(set: WireChangeSet, rules: Rules): WireChange[] {
  return judged(set, rules).flatMap(({ sent, back }) => (back === sent ? [] : sent));
}

/** Which of its changes leave nothing at their place. */
export function leavingNothing(set: WireChangeSet, rules: Rules): WireChange[] {
  return judged(set, rules).flatMap(({ sent, back }) => {
    const stays = back !== undefined && isSamePlace(sent, back);
    return stays ? [] : sent;
  });
}

function isSamePlace(sent: WireChange, back: WireChange): boolean {
  if (back.table !== sent.table || back.pk[0] !== sent.pk[0]) return false;
  if (back.type === 'delete') return true;
  return sent.type === 'column' && sent.column === back.column;
}

/** @returns a value, perhaps one that a rule looks at */
export function markedValue(random: Random, { moves }: Rules, value: string, pk: number): string {
  if (!moves || !random.chance(0.3)) return value;
  const mark: Mark = random.pick(MARKS);
  // A deletion that is stored must be one that the rules would let pass, since it is pushed back.
  return mark === 'erase' && pk > 2 ? value : `${mark} ${value}`;
}

/** Whether a rule has anything to say about it. */
export function isRuled(change: WireChange, rules: Rules): boolean {
  return rulesOf(rules).some(({ rule }) => rule(change) !== true);
}
