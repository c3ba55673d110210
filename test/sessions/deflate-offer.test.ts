import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as ws from 'ws';
import { offersDeflate } from '../../src/sessions/deflate-offer.ts';
import { holds } from '../support/runs.ts';

test('an offer is accepted that leaves the server the whole window', () => {
  const accepted = [
    'permessage-deflate',
    ' permessage-deflate ;client_max_window_bits ',
    'permessage-deflate; client_max_window_bits=8; server_no_context_takeover',
    'permessage-deflate; client_no_context_takeover; client_max_window_bits=15',
    'x-webkit-deflate-frame, permessage-deflate',
    'permessage-deflate; server_max_window_bits=10, permessage-deflate',
  ];
  const passedOver = [
    '',
    'deflate',
    'permessage-deflate; server_max_window_bits=15',
    'permessage-deflate; client_max_window_bits=7',
    'permessage-deflate; client_max_window_bits=015',
    'permessage-deflate; client_max_window_bits=10=11',
    'permessage-deflate; server_no_context_takeover=',
    'permessage-deflate; server_no_context_takeover; server_no_context_takeover',
    'permessage-deflate; toString',
    'permessage-deflate;',
  ];
  assert.deepEqual(
    accepted.map(offersDeflate),
    accepted.map(() => true),
  );
  assert.deepEqual(
    passedOver.map(offersDeflate),
    passedOver.map(() => false),
  );
});

/** What any header may say, mostly near what is understood. */
const word = fc.oneof(
  fc.constantFrom(
    ...['permessage-deflate', 'client_max_window_bits', 'server_max_window_bits', '9', '16', '""'],
    ...['client_no_context_takeover', 'server_no_context_takeover', ' ', ';', ';', ',', '=', '='],
  ),
  fc.string(),
);

test('whatever is offered is answered, and what is accepted would be by ws as well', () => {
  const server: { accept(offers: object[]): object } = Reflect.construct(
    Reflect.get(ws, 'PerMessageDeflate'),
    [{ isServer: true }],
  );
  const { parse } = Reflect.get(ws, 'extension');
  holds(
    fc.property(fc.array(word), (words) => {
      const offers = words.join('');
      if (!offersDeflate(offers)) return;
      const [first] = offers.split(',').filter((offer) => offersDeflate(offer));
      server.accept(parse(first?.trim())['permessage-deflate']);
    }),
    1000,
  );
});
