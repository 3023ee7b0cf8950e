import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Transcript } from '../../static/transcript.js';

/** @typedef {import('../../static/rtvi.js').Incoming} Incoming */

/** @param {string} text @param {Partial<import('../../static/rtvi.js').BotOutput>} [more] @returns {Incoming} */
function output(text, more = {}) {
  return { kind: 'bot-output', text, segment: '', status: 'new', ahead: false, silent: false, spokenText: null, ...more };
}
/** @param {string} text @returns {Incoming} */
const ahead = (text) => ({ kind: 'bot-text', text });
/** @param {string} text @param {boolean} [final] @returns {Incoming} */
const user = (text, final = true) => ({ kind: 'user-text', text, final });
/** @param {boolean} on @returns {Incoming} */
const hearing = (on) => ({ kind: 'user-speaking', on });
/** @param {boolean} on @returns {Incoming} */
const voice = (on) => ({ kind: 'bot-speaking', on });
/** @param {boolean} on @returns {Incoming} */
const writing = (on) => ({ kind: 'bot-llm', on });
/** @type {Incoming} */
const cut = { kind: 'interrupted' };

/** The play as one line per turn: `you: said (interim)` and `model: said [ahead] {struck}`. @param {...Incoming} events */
function play(...events) {
  const transcript = new Transcript();
  for (const event of events) transcript.apply(event);
  return script(transcript);
}

/** @param {Transcript} transcript */
function script(transcript) {
  return transcript.turns
    .map(({ who, said, interim, ahead: left, struck }) => `${who}: ${said.join('')}`
      + (interim && `(${interim})`) + (left && `[${left}]`) + (struck && `{${struck}}`))
    .filter((line) => !/^\w+: $/.test(line));
}

test('interim words change in place and the final ones replace them', () => {
  const start = [hearing(true), user('what is', false), user('what is the', false)];
  assert.deepEqual(play(...start), ['user: (what is the)']);
  assert.deepEqual(play(...start, user('What is the time?')), ['user: What is the time?']);
});

test('finals of one turn are joined, and an interim continues them', () => {
  assert.deepEqual(play(hearing(true), user('Hello there.'), user('how are', false)), ['user: Hello there.( how are)']);
  assert.deepEqual(play(hearing(true), user('Hello'), user(', you.')), ['user: Hello, you.']);
});

test('a pause without an answer stays one turn', () => {
  assert.deepEqual(play(hearing(true), user('One.'), hearing(false), hearing(true), user('Two.')), ['user: One. Two.']);
});

test('text ahead is unspoken until bot-output reaches it', () => {
  const events = [writing(true), ahead('Hi, I am '), ahead('here. Ask me.'), voice(true)];
  assert.deepEqual(play(...events), ['model: [Hi, I am here. Ask me.]']);
  assert.deepEqual(play(...events, output('Hi, I am here.')), ['model: Hi, I am here. [Ask me.]']);
  assert.deepEqual(play(...events, output('Hi, I am here.'), output('Ask me.')), ['model: Hi, I am here. Ask me.']);
});

test('spaces may differ between the two texts', () => {
  assert.deepEqual(play(ahead('One  two.\nThree.'), output('One two. ')), ['model: One  two.\n[Three.]']);
});

test('bot-output alone makes the caption, with spaces between sentences', () => {
  assert.deepEqual(play(output('One.'), output('Two.'), output(' Three.')), ['model: One. Two. Three.']);
});

test('bot-output that outruns the text ahead is not lost', () => {
  assert.deepEqual(play(ahead('One.'), output('One. Two.')), ['model: One. Two.']);
});

test('announced segments keep pace by their progress', () => {
  const announced = output('The bus leaves.', { segment: '1', ahead: true });
  const halfway = output('', { segment: '1', status: 'in-progress', spokenText: 'The bus' });
  const done = output('The bus leaves.', { segment: '1', status: 'completed' });
  assert.deepEqual(play(announced), ['model: [The bus leaves.]']);
  assert.deepEqual(play(announced, halfway), ['model: The bus [leaves.]']);
  assert.deepEqual(play(announced, halfway, halfway, done), ['model: The bus leaves.']);
});

test('a completed segment that was never announced shows nothing', () => {
  assert.deepEqual(play(output('Ghost.', { segment: '9', status: 'completed' })), []);
});

test('an interruption strikes what was not spoken', () => {
  const events = [ahead('One. Two. Three.'), voice(true), output('One.'), hearing(true), cut, voice(false)];
  assert.deepEqual(play(...events), ['model: One. {Two. Three.}']);
  assert.deepEqual(play(...events, user('Wait', false)), ['model: One. {Two. Three.}', 'user: (Wait)']);
});

test('after an interruption the next words are a new turn', () => {
  const events = [ahead('One. Two.'), output('One.'), hearing(true), cut, user('Stop.'), ahead('Fine.')];
  assert.deepEqual(play(...events), ['model: One. {Two.}', 'user: Stop.', 'model: [Fine.]']);
});

test('what was generated and played to its end was spoken', () => {
  const events = [writing(true), ahead('All of it.'), voice(true), writing(false)];
  assert.deepEqual(play(...events), ['model: [All of it.]']);
  assert.deepEqual(play(...events, voice(false)), ['model: All of it.']);
});

test('a pause in the voice does not end an answer that is still being written', () => {
  const events = [writing(true), ahead('One. '), voice(true), output('One.'), voice(false), ahead('Two.')];
  assert.deepEqual(play(...events, voice(true), output('Two.')), ['model: One. Two.']);
});

test('a late transcription goes where the person spoke', () => {
  const events = [hearing(true), hearing(false), ahead('Hello.'), voice(true), output('Hello.'), user('Hi!')];
  assert.deepEqual(play(...events), ['user: Hi!', 'model: Hello.']);
});

test('without activity messages each question still has a turn of its own', () => {
  assert.deepEqual(
    play(user('One?'), ahead('First.'), output('First.'), user('Two?'), ahead('Second.')),
    ['user: One?', 'model: First.', 'user: Two?', 'model: [Second.]'],
  );
});

test('typed words are final at once, and their echo is dropped', () => {
  const transcript = new Transcript();
  transcript.typed('Good day');
  assert.deepEqual(transcript.apply(user('Good  day')), []);
  transcript.apply(ahead('Hello.'));
  assert.deepEqual(script(transcript), ['user: Good day', 'model: [Hello.]']);
  transcript.apply(user('Good day'));
  assert.equal(transcript.turns.filter((turn) => turn.who === 'user').length, 2);
});

test('words spoken while typing keep a turn of their own', () => {
  const transcript = new Transcript();
  transcript.apply(hearing(true));
  transcript.typed('Typed.');
  transcript.apply(user('Spoken.'));
  assert.deepEqual(script(transcript), ['user: Spoken.', 'user: Typed.']);
});

test('a turn that gave way to the next counts as spoken', () => {
  const transcript = new Transcript();
  transcript.apply(ahead('First answer.'));
  transcript.typed('Next');
  transcript.apply(ahead('Second.'));
  assert.deepEqual(script(transcript), ['model: First answer.', 'user: Next', 'model: [Second.]']);
});

test('hostile text stays text', () => {
  const evil = '<img src=x onerror=alert(1)>\u202e"\'`${1}';
  assert.deepEqual(play(user(evil), output(evil)), [`user: ${evil}`, `model: ${evil}`]);
});

test('said is only ever appended to', () => {
  const transcript = new Transcript();
  /** @type {string[]} */
  let before = [];
  for (const event of [ahead('One. Two. Three.'), output('One.'), output('Two.'), cut]) {
    transcript.apply(event);
    const said = transcript.turns[0]?.said ?? [];
    assert.deepEqual(said.slice(0, before.length), before);
    before = [...said];
  }
});
