import { webcrypto } from 'node:crypto';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TEXT_MAX, VERSION, clientReady, disconnectBot, newId, parse, ping, sendText, trackStatus } from '../../static/rtvi.js';

// Debian 12's Node.js 18 has it, but not where browsers have it.
globalThis.crypto ??= /** @type {Crypto} */ (webcrypto);

/** @param {string} type @param {object} [data] */
function said(type, data) {
  return parse(JSON.stringify({ label: 'rtvi-ai', type, ...(data && { data }) }));
}

test('client-ready has version, about, and an id of eight hex digits', () => {
  const message = JSON.parse(clientReady({ library: 'page' }));
  assert.equal(message.label, 'rtvi-ai');
  assert.equal(message.type, 'client-ready');
  assert.match(message.id, /^[0-9a-f]{8}$/);
  assert.deepEqual(message.data, { version: VERSION, about: { library: 'page' }, returns: true });
  assert.notEqual(newId(), newId());
});

test('send-text interrupts and wants a voice', () => {
  const { type, id, data } = JSON.parse(sendText({ id: '1', text: 'hello', answered: true }));
  assert.deepEqual([type, id], ['send-text', '1']);
  assert.deepEqual(data, { content: 'hello', options: { run_immediately: true, audio_response: true } });
});

test('a send-text that is sent again says so under its old id', () => {
  const { id, data } = JSON.parse(sendText({ id: '1', text: 'hello', answered: false }, true));
  assert.equal(id, '1');
  assert.deepEqual(data, { content: 'hello', options: { run_immediately: false, audio_response: true }, again: true });
});

test('the relay says by the id what it has, and what it refuses', () => {
  assert.deepEqual(said('user-input', { text: 'hello', msg_id: '1' }), { kind: 'taken', id: '1' });
  assert.equal(said('user-input', { text: 'spoken' }), null);
  const refused = parse(JSON.stringify({ label: 'rtvi-ai', type: 'error-response', id: '1', data: { error: 'no' } }));
  assert.deepEqual(refused, { kind: 'error', text: 'no', fatal: false, code: '', id: '1' });
});

test('the longest text fits into what the relay accepts', () => {
  const frame = sendText({ id: newId(), text: '\u{20AC}'.repeat(10 * TEXT_MAX), answered: true }, true);
  assert.ok(new TextEncoder().encode(frame).length < 16_384);
});

test('signalling has neither label nor id', () => {
  const message = { type: 'trackStatus', receiver_index: 2, enabled: false };
  assert.deepEqual(JSON.parse(trackStatus(2, false)), { type: 'signalling', message });
});

test('a ping is plain text', () => {
  assert.equal(ping(1234.5), 'ping: 1235');
});

test('disconnect-bot carries an object', () => {
  assert.deepEqual(JSON.parse(disconnectBot()).data, {});
});

test('messages without data are understood', () => {
  assert.deepEqual(said('user-started-speaking'), { kind: 'user-speaking', on: true });
  assert.deepEqual(said('user-stopped-speaking'), { kind: 'user-speaking', on: false });
  assert.deepEqual(said('bot-started-speaking'), { kind: 'bot-speaking', on: true });
  assert.deepEqual(said('bot-stopped-speaking'), { kind: 'bot-speaking', on: false });
  assert.deepEqual(said('bot-llm-started'), { kind: 'bot-llm', on: true });
  assert.deepEqual(said('bot-llm-stopped'), { kind: 'bot-llm', on: false });
  assert.deepEqual(said('bot-interrupted'), { kind: 'interrupted' });
});

test('bot-ready may name the model, or not', () => {
  const seeing = { camera: true, screen: true };
  assert.deepEqual(said('bot-ready', { version: '2.1.0', about: { model: 'm' } }), { kind: 'bot-ready', model: 'm', ...seeing });
  assert.deepEqual(said('bot-ready'), { kind: 'bot-ready', model: '', ...seeing });
});

test('a model that sees nothing says so in its capabilities', () => {
  const capabilities = { audio_in: true, video_in: false, screen_in: true };
  assert.deepEqual(said('bot-ready', { capabilities }), { kind: 'bot-ready', model: '', camera: false, screen: true });
});

test('a tool is running, done or cancelled, by its id', () => {
  const id = { tool_call_id: 't1' };
  assert.deepEqual(said('llm-function-call-in-progress', id), { kind: 'tool', id: 't1', state: 'running' });
  assert.deepEqual(said('llm-function-call-stopped', { ...id, cancelled: false }), { kind: 'tool', id: 't1', state: 'done' });
  assert.deepEqual(said('llm-function-call-stopped', { ...id, cancelled: true }), { kind: 'tool', id: 't1', state: 'cancelled' });
  assert.equal(said('llm-function-call-in-progress'), null);
});

test('sources are web addresses, each once, and a few', () => {
  const origins = [
    { site_uri: 'https://trees.example/fir', site_title: ' Trees ' }, { site_uri: 'https://trees.example/fir' },
    { site_uri: 'http://parks.example' }, { site_uri: 'javascript:alert(1)', site_title: 'x' },
    { site_uri: 'data:text/html,x' }, { site_uri: '//x' }, { site_uri: 7 }, null, 'https://x.example',
  ];
  const sources = [
    { title: 'Trees', address: 'https://trees.example/fir' }, { title: 'parks.example', address: 'http://parks.example/' },
  ];
  assert.deepEqual(said('bot-llm-search-response', { origins, rendered_content: '<b>' }), { kind: 'sources', sources });
  for (const none of [{}, { origins: [] }, { origins: 7 }, { origins: { length: 1e9 } }]) {
    assert.equal(said('bot-llm-search-response', none), null);
  }
  const many = Array.from({ length: 90 }, (_, index) => ({ site_uri: `https://x.example/${index}`, site_title: 'y'.repeat(999) }));
  const few = said('bot-llm-search-response', { origins: many });
  assert.ok(few?.kind === 'sources' && few.sources.length <= 5 && few.sources.every(({ title }) => title.length <= 80));
});

test('an event of the relay has a name, and may have a time', () => {
  const better = { event: 'transcript-corrected', role: 'user', turn: 3, was: 'whether', text: 'weather' };
  assert.deepEqual(said('server-message', better), { kind: 'corrected', who: 'user', was: 'whether', text: 'weather' });
  assert.deepEqual(said('server-message', { event: 'mic-dead' }), { kind: 'relay-event', event: 'mic-dead', seconds: null });
  const soon = { event: 'limit-warning', seconds: 60 };
  assert.deepEqual(said('server-message', soon), { kind: 'relay-event', event: 'limit-warning', seconds: 60 });
  assert.deepEqual(said('server-message', { info: 'Hello.' }), { kind: 'notice', text: 'Hello.' });
});

test('a transcription without a flag is final', () => {
  assert.deepEqual(said('user-transcription', { text: 'a' }), { kind: 'user-text', text: 'a', final: true });
  assert.deepEqual(said('user-transcription', { text: 'a', final: false }), { kind: 'user-text', text: 'a', final: false });
});

test('errors keep their words and their weight', () => {
  assert.deepEqual(said('error', { error: 'x', fatal: true }), { kind: 'error', text: 'x', fatal: true, code: '', id: '' });
  assert.deepEqual(said('error', { message: 'old', code: 'idle' }), { kind: 'error', text: 'old', fatal: false, code: 'idle', id: '' });
  assert.deepEqual(said('error-response', { error: 'y' }), { kind: 'error', text: 'y', fatal: false, code: '', id: '' });
});

test('signalling from the relay needs no label', () => {
  assert.deepEqual(parse('{"type":"signalling","message":{"type":"peerLeft"}}'), { kind: 'peer-left' });
  assert.equal(parse('{"type":"signalling","message":{"type":"renegotiate"}}'), null, 'the relay never asks for it');
  assert.equal(parse('{"type":"signalling"}'), null);
});

for (const [name, data, ahead, silent] of /** @type {const} */ ([
  ['spoken as it comes', { spoken: true, will_be_spoken: false, spoken_status: 'new' }, false, false],
  ['announced', { spoken: false, will_be_spoken: true, spoken_status: 'new' }, true, false],
  ['never spoken', { spoken: false, will_be_spoken: false, spoken_status: 'new' }, false, true],
  ['of protocol 1, announced', { spoken: false }, true, false],
  ['of protocol 1, spoken', { spoken: true }, false, false],
])) {
  test(`bot-output ${name} is told apart`, () => {
    const output = said('bot-output', { text: 'Hi.', segment_id: 7, ...data });
    assert.equal(output?.kind, 'bot-output');
    if (output?.kind !== 'bot-output') return;
    assert.deepEqual([output.text, output.segment, output.ahead, output.silent], ['Hi.', '7', ahead, silent]);
  });
}

test('what is not ours, not known, or not readable is null and never throws', () => {
  const strange = ['', 'ping: 1', '{', 'null', '[]', '7', '"x"', '{}', '{"type":"bot-ready"}', '{"label":"rtvi-ai"}',
    '{"label":"rtvi-ai","type":7}', '{"label":"rtvi-ai","type":"__proto__"}', '{"label":"other","type":"bot-ready"}'];
  for (const frame of strange) assert.equal(parse(frame), null, frame);
  for (const frame of [new ArrayBuffer(4), undefined, null, 7]) assert.equal(parse(frame), null);
});

test('wrong types inside data become empty words', () => {
  assert.deepEqual(said('bot-llm-text', { text: { evil: 1 } }), { kind: 'bot-text', text: '' });
  assert.deepEqual(said('user-transcription', { text: null }), { kind: 'user-text', text: '', final: true });
});

test('the conversation so far has what both have said, and nothing that is not of its form', () => {
  const turns = [
    { role: 'user', text: 'Hello.', how: 'typed', began: 1, ended: 2 }, { role: 'assistant', text: 'Old', how: 'prior' },
    { role: 'assistant', text: 'Yes', how: 'spoken', began: 3, interrupted: true },
    { role: 'assistant', text: ' and no', began: 3, continues: true },
    { role: 'tool', name: 'x', arguments: {} }, { role: 'user', text: 7 }, { role: 'user', text: ' ' }, null, 'x',
  ];
  const plain = { over: true, interrupted: false, continues: false };
  assert.deepEqual(said('server-message', { event: 'history', turns }), {
    kind: 'history',
    turns: [
      { ...plain, who: 'user', text: 'Hello.' }, { ...plain, who: 'model', text: 'Old' },
      { ...plain, who: 'model', text: 'Yes', over: false, interrupted: true },
      { ...plain, who: 'model', text: ' and no', over: false, continues: true },
    ],
  });
  assert.deepEqual(said('server-message', { event: 'history' }), { kind: 'history', turns: [] });
});
