/**
 * Removes a secret from a text: as it is, in the spellings that it has in URLs, JSON and headers,
 * and parts of these, such as a part of a JWT between dots, or the beginning of a token.
 */

const BLOT = '[token]';
/** The length of a part that is removed; fewer characters may be any word. */
const PART_LENGTH = 8;
/** The text is cut here: more is of no use in a log. */
const TEXT_LENGTH_MAX = 16_384;

export function blotOut(text: string, secret: string): string {
  const spellings = toSpellings(secret);
  const shown = text.slice(0, TEXT_LENGTH_MAX);
  const whole = spellings.reduce((left, spelling) => left.replaceAll(spelling, BLOT), shown);
  return withoutParts(whole, spellings);
}

/** All spellings, the longest first, since one may contain another. */
function toSpellings(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const encoded = encodeURIComponent(bytes.toString());
  const lower = encoded.replace(/%../g, (code) => code.toLowerCase());
  const spellings = [
    ...[secret, encoded, lower, encoded.replaceAll('%20', '+'), decoded(secret)],
    ...[JSON.stringify(secret).slice(1, -1), secret.replace(/['"\\]/g, '\\$&')],
    ...[bytes.toString('hex'), ...[0, 1, 2].map((shift) => toBase64(bytes, shift))],
    // The user and password of basic authentication.
    Buffer.from(secret.replace(/^\w+ +/, ''), 'base64').toString(),
  ];
  const all = spellings.flatMap((text) => [text, text.replaceAll('+', '-').replaceAll('/', '_')]);
  // Encodings of a short secret are short, and may occur in any word.
  const telling = all.filter(({ length }) => length >= PART_LENGTH / 2);
  const distinct = [...new Set([secret, ...telling])].filter((text) => text !== '');
  return distinct.sort((a, b) => b.length - a.length);
}

/**
 * The base64 of bytes that follow `shift` others, without the characters that depend on their
 * neighbours.
 */
function toBase64(bytes: Buffer, shift: number): string {
  const text = Buffer.concat([Buffer.alloc(shift), bytes])
    .toString('base64')
    .replaceAll('=', '');
  const isCut = (shift + bytes.length) % 3 !== 0;
  return text.slice(shift === 0 ? 0 : shift + 1, isCut ? -1 : undefined);
}

function decoded(secret: string): string {
  try {
    return decodeURIComponent(secret);
  } catch {
    return secret;
  }
}

/** Removes parts of spellings. Takes time proportional to the lengths, whatever repeats. */
function withoutParts(text: string, spellings: readonly string[]): string {
  const lower = toLower(text);
  const inText = new Set(partsOf(lower));
  const found = new Set<string>();
  for (const spelling of spellings) {
    for (const part of partsOf(toLower(spelling))) if (inText.has(part)) found.add(part);
  }
  if (found.size === 0) return text;
  let result = '';
  let blottedTo = 0;
  for (let i = 0; i < text.length; i++) {
    if (found.has(lower.slice(i, i + PART_LENGTH))) {
      if (i >= blottedTo) result += BLOT;
      blottedTo = i + PART_LENGTH;
    }
    if (i >= blottedTo) result += text[i];
  }
  return result;
}

function* partsOf(text: string): Generator<string> {
  for (let i = 0; i + PART_LENGTH <= text.length; i++) yield text.slice(i, i + PART_LENGTH);
}

/** Lower case for ASCII only, which keeps the length. */
function toLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
