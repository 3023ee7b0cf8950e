import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainText, Transcript } from '../../static/transcript.js';

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
/** @param {string} id @param {'running'|'done'|'cancelled'} state @returns {Incoming} */
const tool = (id, state) => ({ kind: 'tool', id, state });
/** @type {Incoming} */
const cut = { kind: 'interrupted' };

/** @param {'user'|'model'} who @param {string} was @param {string} text @returns {Incoming} */
const corrected = (who, was, text) => ({ kind: 'corrected', who, was, text });

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

test('interim words that are taken back are gone', () => {
  assert.deepEqual(play(hearing(true), user('wine', false), user('', false)), []);
  assert.deepEqual(play(hearing(true), user('Hello.'), user('wine', false), user('', false)), ['user: Hello.']);
  assert.deepEqual(play(user('', false), output('Hi.')), ['model: Hi.']);
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

/** @param {string} segment @param {string} text @returns {Incoming} */
const announced = (segment, text) => output(text, { segment, ahead: true });
/** @param {string} segment @param {string} text @param {string} spokenText @returns {Incoming} */
const halfway = (segment, text, spokenText) => output(text, { segment, status: 'in-progress', spokenText });
/** @param {string} segment @param {string} text @returns {Incoming} */
const completed = (segment, text) => output(text, { segment, status: 'completed' });

test('announced segments of a relay that writes nothing ahead follow each other', () => {
  const events = [announced('1', 'One,'), announced('2', 'two.'), halfway('1', 'One,', 'On'), completed('1', 'One,')];
  assert.deepEqual(play(...events), ['model: One, [two.]']);
  assert.deepEqual(play(...events, cut), ['model: One, {two.}']);
});

test('text that comes by itself is not doubled by the announcement of its segments', () => {
  const events = [ahead('One, two. Thr'), announced('1', 'One,'), ahead('ee.'), completed('1', 'One,'), announced('2', 'two.')];
  assert.deepEqual(play(...events), ['model: One, [two. Three.]']);
});

test('progress of an answer that was cut off leaves the next one alone', () => {
  const cutOff = [ahead('One. Two.'), announced('1', 'One.'), hearing(true), cut, user('Stop.'), ahead('Fine.')];
  const late = [halfway('1', 'One.', 'On'), completed('1', 'One.')];
  assert.deepEqual(play(...cutOff, ...late), ['model: {One. Two.}', 'user: Stop.', 'model: [Fine.]']);
});

test('however text, announcements and progress interleave, every letter is shown once and in order', () => {
  const text = 'One, two. Three four five? Six: seven; eight. Nine.';
  const clauses = text.match(/[^,.?:;]+[,.?:;]\s*/g) ?? [];
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = chance(seed);
    const transcript = new Transcript();
    let written = 0;
    let spoken = 0;
    for (const [index, clause] of clauses.entries()) {
      const segment = String(index);
      /** The text is ahead of the voice, by more or less. @param {number} least */
      const write = (least) => {
        while (written < Math.min(text.length, least) || (written < text.length && random() < 0.3)) {
          const size = 1 + Math.floor(random() * 12);
          transcript.apply(ahead(text.slice(written, written + size)));
          written += size;
        }
      };
      write(spoken + clause.length);
      transcript.apply(announced(segment, clause.trim()));
      for (let at = 1; at < clause.trim().length; at += 1 + Math.floor(random() * 9)) {
        transcript.apply(halfway(segment, clause.trim(), clause.slice(0, at)));
        write(0);
      }
      if (random() < 0.9) transcript.apply(completed(segment, clause.trim()));
      spoken += clause.length;
      const shown = transcript.turns.map(({ said, ahead: left }) => said.join('') + left).join('');
      assert.equal(shown, text.slice(0, written), `seed ${seed}`);
    }
    assert.equal(transcript.turns.length, 1);
  }
});

/** Numbers from 0 to 1, the same for the same seed. @param {number} seed */
function chance(seed) {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

test('a tool is noted with the answer that it serves', () => {
  const transcript = new Transcript();
  const [asked] = [hearing(true), user('Where?'), writing(true), tool('a', 'running')].map((event) => transcript.apply(event)).at(-1) ?? [];
  assert.ok(asked && asked.who === 'model' && asked.tools.size === 1 && !asked.used);
  transcript.apply(tool('b', 'running'));
  transcript.apply(tool('b', 'cancelled'));
  assert.equal(asked.used, false);
  transcript.apply(tool('a', 'done'));
  transcript.apply(ahead('Here.'));
  assert.deepEqual([asked.tools.size, asked.used, asked.ahead], [0, true, 'Here.']);
  assert.deepEqual(transcript.apply(tool('z', 'done')), [], 'one that never began');
});

test('sources are noted once each with the last answer, even when it is over', () => {
  const transcript = new Transcript();
  const source = { title: 'Trees', address: 'https://trees.example/' };
  for (const event of [writing(true), ahead('A fir.'), voice(true), writing(false), voice(false)]) transcript.apply(event);
  for (let twice = 0; twice < 2; twice += 1) transcript.apply({ kind: 'sources', sources: [source] });
  assert.deepEqual(transcript.turns.map((turn) => turn.sources), [[source]]);
});

/** @param {Partial<import('../../static/rtvi.js').Told>[]} told @returns {import('../../static/rtvi.js').Incoming} */
function history(...told) {
  const plain = /** @type {const} */ ({ who: 'model', text: '', over: true, interrupted: false, continues: false });
  return { kind: 'history', turns: told.map((turn) => ({ ...plain, ...turn })) };
}

test('what was said before the page was there comes first, in as many messages as it takes', () => {
  const transcript = new Transcript();
  transcript.apply(history({ who: 'user', text: 'Why?' }, { text: 'Because it is so' }));
  transcript.apply(history({ text: ', and always was.', continues: true }, { who: 'user', text: 'I see.' }));
  transcript.apply(user('And now?'));
  assert.equal(plainText(transcript.turns), 'User: Why?\nAssistant: Because it is so, and always was.\nUser: I see.\nUser: And now?\n');
});

test('an answer in whose middle the page is loaded again goes on in its own line', () => {
  const transcript = new Transcript();
  transcript.apply(history({ who: 'user', text: 'Tell.' }, { text: 'Once there was a fox.', over: false }));
  for (const event of [writing(true), ahead('It was red. It ran.'), writing(false), voice(true)]) transcript.apply(event);
  const [, model] = transcript.turns;
  assert.equal(transcript.turns.length, 2);
  assert.deepEqual([model?.said.join(''), model?.ahead], ['Once there was a fox.', ' It was red. It ran.']);
  transcript.apply(voice(false));
  assert.equal(model?.said.join(''), 'Once there was a fox. It was red. It ran.');
});

test('an answer that was cut or finished before is not gone on with', () => {
  const transcript = new Transcript();
  transcript.apply(history({ text: 'One.' }, { text: 'Two', over: false, interrupted: true }));
  transcript.apply(ahead('Three.'));
  assert.deepEqual(transcript.turns.map(({ who, said, ahead: rest, interrupted }) => [who, said.join('') + rest, interrupted]), [
    ['model', 'One.', false], ['model', 'Two', true], ['model', 'Three.', false],
  ]);
  assert.equal(plainText(transcript.turns), 'Assistant: One.\nAssistant: Two —\n');
});

test('whoever heard better replaces the words of a turn, and of no other', () => {
  const transcript = new Transcript();
  for (const event of [user('Is it a whether?'), user('Today?'), voice(true), output('Yes it is.'), voice(false)]) {
    transcript.apply(event);
  }
  const [question] = transcript.apply(corrected('user', 'Is it a whether?', 'Is it the weather?'));
  assert.equal(question?.said[0], 'Is it the weather?');
  assert.match(question?.said.join('') ?? '', /Today\?$/);
  const [answer] = transcript.apply(corrected('model', 'Yes it is.', 'Yes, it is.'));
  assert.deepEqual([answer?.who, answer?.said.join(''), answer?.corrections], ['model', 'Yes, it is.', 1]);
  assert.deepEqual(transcript.apply(corrected('model', 'Is it the weather?', 'No.')), []);
  assert.deepEqual(transcript.apply(corrected('user', 'Never said.', 'No.')), []);
  assert.deepEqual(transcript.apply(corrected('user', '', 'No.')), []);
});
