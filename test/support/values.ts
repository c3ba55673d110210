/** Values and names that are hard to carry. */

export const LONE_HIGH = '\ud800';
export const VALUES = [
  null,
  0,
  -1.5,
  1e21,
  9007199254740991,
  { __bigint: '9007199254740993' },
  { __bigint: '-9223372036854775808' },
  '',
  'a\tb\nc\u0000d"\\',
  `${LONE_HIGH} lone`,
  '🚀 ,:|',
  true,
  false,
  { __bin: '' },
  { __bin: 'AAEC/v8=' },
  { a: [1, { b: null }], __bigint: 'not alone' },
  [],
  JSON.parse('{"__proto__": {"x": 1}}'),
];

export const NAMES = [
  'plain',
  'x:y',
  'tab\there',
  'new\nline',
  `${LONE_HIGH}`,
  '__proto__',
  '',
  '"',
];
