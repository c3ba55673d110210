/**
 * Text from outside, for people and terminals to read: nobody can make up a line with it, move
 * the cursor, or turn the direction of writing around. What is escaped is written as JSON would
 * write it, so JSON stays the JSON that it was.
 */

const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;
const UNPRINTABLE_IN_LINES = /[^\P{Cc}\n]|[\p{Bidi_Control}\u2028\u2029]/gu;
/** No line but the first begins where lines of a log do. */
const INDENT = '  ';

function escapeCharacter(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** On one line. */
export function toPrintable(text: string): string {
  return text.replaceAll(UNPRINTABLE, escapeCharacter);
}

/** On as many lines as it has (a stack, say), of which all but the first are indented. */
export function toPrintableLines(text: string): string {
  return text.replaceAll(UNPRINTABLE_IN_LINES, escapeCharacter).replaceAll('\n', `\n${INDENT}`);
}

/**
 * A value among others of a line: in quotes wherever it could be taken for more than one.
 * @param lengthMax in characters; what is longer is cut
 */
export function toQuoted(text: string, lengthMax: number): string {
  const cut = text.slice(0, lengthMax);
  return /^[^\s;"]+$/.test(cut) ? cut : JSON.stringify(cut);
}
