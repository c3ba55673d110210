/** No text makes a regular expression of the product slow: each is proved to be linear. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  isCallExpression,
  isIdentifier,
  isNewExpression,
  isPropertyAccessExpression,
  isPropertyAssignment,
  isRegularExpressionLiteral,
  type Node,
} from 'tsc/unstable/ast';
import { nodesOf, placeOf, readSources, type Sources } from '../support/syntax.ts';

/** Needs neither Java nor a program for this very system. */
process.env.RECHECK_BACKEND = 'pure';
const { checkSync } = await import('recheck');

const PACKAGES = fileURLToPath(new URL('../../node_modules', import.meta.url));
const CACHE = `${PACKAGES}/.cache/sync-coordinator`;

interface Expression {
  pattern: string;
  flags: string;
}

/**
 * By the theory of automata, which proves; never by trying, which could only have found nothing.
 * In theory a repetition that is counted is over at once, so each is taken as one without end.
 */
function complexityOf({ pattern, flags }: Expression): string {
  const endless = pattern.replaceAll(/\{\d+(?:,\d*)?\}/g, '*');
  const found = checkSync(endless, flags, { checker: 'automaton', timeout: 60_000 });
  if (found.status === 'safe') return 'linear';
  return found.status === 'vulnerable' ? found.complexity.summary : found.error.kind;
}

/** What was proved holds for good, and took eight seconds: it is kept beside the packages. */
function keptProofs() {
  const { version } = JSON.parse(readFileSync(`${PACKAGES}/recheck/package.json`, 'utf8'));
  const file = `${CACHE}/linear-by-recheck-${version}.json`;
  const linear = new Set<string>(existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []);
  const keep = () => {
    mkdirSync(CACHE, { recursive: true });
    writeFileSync(`${file}.new`, JSON.stringify([...linear]));
    renameSync(`${file}.new`, file);
  };
  return { linear, keep };
}

/** `RegExp`, and what makes one of a text that it is given. */
function patternMadeBy(node: Node, { isText }: Sources): Node | undefined {
  if (!isCallExpression(node) && !isNewExpression(node)) return undefined;
  const { expression: callee, arguments: [given] = [] } = node;
  if (isIdentifier(callee)) return callee.text === 'RegExp' ? given : undefined;
  if (!isPropertyAccessExpression(callee) || !isText(callee.expression)) return undefined;
  const isMaker = ['match', 'matchAll', 'search'].includes(callee.name.text);
  return isMaker && given !== undefined && !isRegularExpressionLiteral(given) ? given : undefined;
}

/** `undefined` where there is none; one without a pattern where it can't be known. */
function expressionIn(node: Node, sources: Sources): Partial<Expression> | undefined {
  if (isRegularExpressionLiteral(node)) {
    const end = node.text.lastIndexOf('/');
    return { pattern: node.text.slice(1, end), flags: node.text.slice(end + 1) };
  }
  if (isPropertyAssignment(node) && node.name.getText() === 'pattern') {
    return { pattern: sources.constantText(node.initializer), flags: 'u' };
  }
  const made = patternMadeBy(node, sources);
  return made && { pattern: sources.constantText(made), flags: '' };
}

test('every regular expression takes linear time, whatever the text', (t) => {
  const sources = readSources(t);
  const placesByExpression = new Map<string, string>();
  const kinds = { literals: 0, patterns: 0, made: 0 };
  for (const module of sources.modules) {
    for (const node of nodesOf(module.source)) {
      const expression = expressionIn(node, sources);
      if (expression === undefined) continue;
      const { pattern, flags = '' } = expression;
      const place = placeOf(module, node);
      assert.ok(pattern !== undefined, `${place}: what it matches is not to be known beforehand`);
      placesByExpression.set(JSON.stringify({ pattern, flags }), place);
      if (isRegularExpressionLiteral(node)) kinds.literals++;
      else if (isPropertyAssignment(node)) kinds.patterns++;
      else kinds.made++;
    }
  }
  for (const [kind, count] of Object.entries(kinds)) assert.ok(count > 0, `no ${kind} were found`);
  const { linear, keep } = keptProofs();
  for (const [expression, place] of placesByExpression) {
    if (linear.has(expression)) continue;
    assert.equal(complexityOf(JSON.parse(expression)), 'linear', place);
    linear.add(expression);
  }
  keep();
});

test('the proof tells what is slow', () => {
  const slow = ['^(a+)+$', '^(a|a)*$', 'x+$', '^\\s*\\d* *\\d*y', '^(a?){50}a{50}$'];
  for (const pattern of slow) {
    assert.notEqual(complexityOf({ pattern, flags: '' }), 'linear', pattern);
  }
});
