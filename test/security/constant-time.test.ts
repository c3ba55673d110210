/** Tokens are compared in constant time, and nowhere else: told from the code itself. */

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  isBinaryExpression,
  isBreakStatement,
  isCallExpression,
  isElementAccessExpression,
  isForOfStatement,
  isIdentifier,
  isNewExpression,
  isPropertyAccessExpression,
  isReturnStatement,
  isStringLiteral,
  isSwitchStatement,
  isThrowStatement,
  type Node,
  SyntaxKind,
} from 'tsc/unstable/ast';
import tokenWhitelist from '../../src/hooks/builtin/token-whitelist.ts';
import { REQUEST, setUpModule, testChain } from '../hooks/support.ts';
import { temporaryDirectory } from '../support/server.ts';
import { nodesOf, placeOf, readSources, type SourceModule } from '../support/syntax.ts';

/** Where devices' own values are kept and merged: no credential gets there. */
const WITHOUT_TOKENS = /^src\/(?:clock|engine|protocol|storage|testing|transfer|verify|wire)\//;
/** The operator's own keys and tokens, at a start and when a module is set up: no client has a say in them. */
const AT_SETUP =
  /^src\/cli\/exposed-secrets\.ts:|(?:webhook-delivery\.ts:\d+: secret\.startsWith\(SECRET_PREFIX\)|token-list\.ts:\d+: (?:listed\.startsWith\((?:HASH_PREFIX|'#')\)|HASH\.test\(listed\)))$/;
const WHITELIST = 'src/hooks/builtin/token-whitelist.ts';
/** Names of what an attacker would guess, of its hash too, and of a list of either. */
const SECRET = /token|secret|password|credential|authorization|bearer|hash|^listed$/i;
/** Names of what is no secret all the same. */
const ABOUT = /^TOKEN_WHITELIST$|_(?:MIN|NAME)$/;

const COMPARISONS = new Set([
  SyntaxKind.EqualsEqualsToken,
  SyntaxKind.EqualsEqualsEqualsToken,
  SyntaxKind.ExclamationEqualsToken,
  SyntaxKind.ExclamationEqualsEqualsToken,
  SyntaxKind.LessThanToken,
  SyntaxKind.GreaterThanToken,
  SyntaxKind.LessThanEqualsToken,
  SyntaxKind.GreaterThanEqualsToken,
  SyntaxKind.InKeyword,
]);

/** Each of these looks for one value in another, and stops where they differ. */
const LOOKUPS = new Set([
  ...['includes', 'indexOf', 'lastIndexOf', 'startsWith', 'endsWith', 'search', 'match', 'test'],
  ...['has', 'get', 'hasOwn', 'localeCompare', 'equals', 'compare', 'is', 'isDeepStrictEqual'],
  ...['find', 'findIndex', 'some', 'every', 'filter'],
]);

/** `token`, `request.token`, `tokens[0]`, `hash.toString('hex')`. */
function isSecret(node: Node): boolean {
  if (isIdentifier(node)) return SECRET.test(node.text) && !ABOUT.test(node.text);
  if (isElementAccessExpression(node)) return isSecret(node.expression);
  if (isCallExpression(node)) {
    const { expression } = node;
    const isOf = isPropertyAccessExpression(expression) && isSecret(expression.expression);
    return isOf || isSecret(expression);
  }
  return isPropertyAccessExpression(node) && isSecret(node.name);
}

/** Whether something was given at all, or of which kind it is, is no secret. */
function isNothing(node: Node): boolean {
  if (isIdentifier(node)) return node.text === 'undefined';
  return node.kind === SyntaxKind.NullKeyword || (isStringLiteral(node) && node.text === '');
}

function isLeak(node: Node): boolean {
  if (isBinaryExpression(node) && COMPARISONS.has(node.operatorToken.kind)) {
    const { left, right } = node;
    return (isSecret(left) || isSecret(right)) && !isNothing(left) && !isNothing(right);
  }
  if (isSwitchStatement(node)) return isSecret(node.expression);
  if (isElementAccessExpression(node)) return isSecret(node.argumentExpression);
  // A key of a map or a member of a set is looked for by its characters.
  if (isNewExpression(node) && /^(?:Weak)?(?:Map|Set)$/.test(node.expression.getText())) {
    return node.arguments?.some(isSecret) ?? false;
  }
  if (!isCallExpression(node)) return false;
  const { expression: callee, arguments: given } = node;
  const name = isPropertyAccessExpression(callee) ? callee.name : callee;
  if (!isIdentifier(name) || !LOOKUPS.has(name.text)) return false;
  const holders = isPropertyAccessExpression(callee) ? [callee.expression] : [];
  return [...holders, ...given].some(isSecret);
}

function leaksIn(modules: readonly SourceModule[]): string[] {
  return modules.flatMap((module) =>
    [...nodesOf(module.source)].filter(isLeak).map((node) => placeOf(module, node)),
  );
}

function callsOf(name: string, { source }: SourceModule) {
  return [...nodesOf(source)].filter(isCallExpression).filter(({ expression }) => {
    return isIdentifier(expression) && expression.text === name;
  });
}

test('no token is compared, looked up or switched on', (t) => {
  const { modules } = readSources(t);
  const handling = modules.filter(({ path }) => !WITHOUT_TOKENS.test(path));
  assert.ok(handling.some(({ path }) => path === WHITELIST));
  const leaks = leaksIn(handling).filter((leak) => !AT_SETUP.test(leak));
  assert.deepEqual(leaks, []);
});

/** Each line would tell by its time how much of a guess is right. */
const LEAKS = [
  'token === expected',
  'request.token == tokens[0]',
  'request.headers.authorization !== expected',
  'tokens.includes(token)',
  'expected.startsWith(token)',
  'tokens.some((known: string) => known === expected)',
  'new Set(tokens)',
  'new Map<string, number>().get(token)',
  'byToken[token]',
  'token in byToken',
  'token.localeCompare(expected)',
  "hash.toString('hex') === expected",
  'hash.equals(Buffer.from(expected))',
  'Object.is(token, expected)',
];

test('each way to compare a token in another time is found', (t) => {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, 'src'));
  writeFileSync(join(directory, 'tsconfig.json'), '{"include":["src"]}');
  const used = ['token', 'tokens', 'request', 'expected', 'byToken', 'hash'];
  const declared = used.map((name) => `declare const ${name}: any;`);
  const leaks = LEAKS.map((leak) => `void (${leak});`);
  const fine = ["void (token === '' || token === undefined || typeof token === 'string');"];
  writeFileSync(join(directory, 'src/leaks.ts'), [...declared, ...leaks, ...fine].join('\n'));
  const { modules } = readSources(t, directory);
  const found = leaksIn(modules).map((place) => place.replace(/^src\/leaks\.ts:\d+: /, ''));
  assert.deepEqual(found, LEAKS);
});

test('the list compares all its hashes with no way out, and with one function only', (t) => {
  const { modules } = readSources(t);
  const comparing = modules.filter((module) => callsOf('timingSafeEqual', module).length > 0);
  assert.deepEqual(
    comparing.map(({ path }) => path),
    [WHITELIST],
  );
  const [whitelist] = comparing;
  assert.ok(whitelist !== undefined);
  const loops = [...nodesOf(whitelist.source)].filter(isForOfStatement);
  assert.equal(loops.length, 1);
  const [loop] = loops;
  const [call] = callsOf('timingSafeEqual', whitelist);
  assert.ok(loop !== undefined && call !== undefined);
  const inLoop = [...nodesOf(loop.statement)];
  assert.ok(inLoop.includes(call), 'it is called for each of the list');
  const wayOut = inLoop.find(
    (node) => isBreakStatement(node) || isReturnStatement(node) || isThrowStatement(node),
  );
  assert.equal(wayOut, undefined, 'no early exit');
  // What stands left of && or || decides whether the right side runs at all.
  assert.equal(call.parent.kind, SyntaxKind.BinaryExpression);
  assert.ok(isBinaryExpression(call.parent) && call.parent.left === call);
});

test('tokens of all lengths are compared as digests of one length', async (t) => {
  const tokens = ['x', 'y'.repeat(32), 'z'.repeat(5000)];
  const { hooks } = await setUpModule(t, tokenWhitelist, { tokens });
  const chain = testChain([hooks]);
  const enter = (token: string) => chain.authenticate({ ...REQUEST, token });
  for (const length of [1, 2, 31, 32, 33, 64, 4999, 5000, 5001, 100_000]) {
    // Values of different lengths would make the comparison throw, which refuses.
    assert.equal(await enter('x'.repeat(length + 1)), undefined);
  }
  for (const token of tokens) assert.ok(await enter(token));
});
