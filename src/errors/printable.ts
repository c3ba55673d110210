/**
 * Escapes text from outside for logs and terminals, so that it can't forge a line, move the cursor,
 * or change the direction of writing. Escapes are those of JSON, so JSON keeps its meaning.
 */

const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;
const UNPRINTABLE_IN_LINES = /[^\P{Cc}\n]|[\p{Bidi_Control}\u2028\u2029]/gu;
/** Comes before all lines but the first, so that they can't be taken for lines of the log. */
const INDENT = '  ';

function escapeCharacter(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Text for one line. */
export function toPrintable(text: string): string {
  return text.replaceAll(UNPRINTABLE, escapeCharacter);
}

/** Text of several lines, such as a stack. All lines but the first are indented. */
export function toPrintableLines(text: string): string {
  return text.replaceAll(UNPRINTABLE_IN_LINES, escapeCharacter).replaceAll('\n', `\n${INDENT}`);
}

/**
 * One of several values of a line: in quotes if it could be taken for more than one.
 * @param lengthMax in characters; longer text is cut
 */
export function toQuoted(text: string, lengthMax: number): string {
  const cut = text.slice(0, lengthMax);
  return /^[^\s;"]+$/.test(cut) ? cut : JSON.stringify(cut);
}
