import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CONNECT_MS, ENDING_MS, MOVES, RECONNECT_MS, THINK_MS, VOICE_MS,
  canReturn, isActive, isLive, newCall, stateName, step, words,
} from '../../static/call.js';

/** @typedef {import('../../static/call.js').CallEvent} CallEvent */

/** @param {...CallEvent} events all at the time 0 */
function after(...events) {
  return events.reduce((call, event) => step(call, event, 0), newCall());
}

/** @type {CallEvent[]} */
const TO_LIVE = [{ type: 'start' }, { type: 'microphone' }, { type: 'ready' }];

test('a call goes from idle over asking and connecting to listening', () => {
  const names = TO_LIVE.map((_, index) => stateName(after(...TO_LIVE.slice(0, index + 1))));
  assert.deepEqual(names, ['asking', 'connecting', 'listening']);
});

test('a turn is heard, thought about, spoken, and listening follows', () => {
  const call = after(...TO_LIVE, { type: 'user-speaking', on: true });
  assert.equal(stateName(call), 'hearing');
  const thinking = step(call, { type: 'user-speaking', on: false }, 0);
  assert.equal(stateName(thinking), 'thinking');
  const speaking = step(thinking, { type: 'bot-speaking', on: true }, 0);
  assert.equal(stateName(speaking), 'speaking');
  assert.equal(stateName(step(speaking, { type: 'bot-speaking', on: false }, 0)), 'listening');
});

test('barge-in goes straight from speaking to hearing', () => {
  const call = after(...TO_LIVE, { type: 'bot-speaking', on: true }, { type: 'user-speaking', on: true });
  assert.equal(stateName(call), 'hearing');
  const cut = step(call, { type: 'interrupted' }, 0);
  assert.equal(cut.botSpeaking, false);
  assert.equal(stateName(cut), 'hearing');
});

test('an end of speech without a beginning owes no answer', () => {
  assert.equal(stateName(after(...TO_LIVE, { type: 'user-speaking', on: false })), 'listening');
});

test('typed words are thought about', () => {
  assert.equal(stateName(after(...TO_LIVE, { type: 'typed' })), 'thinking');
});

test('the model may speak first', () => {
  assert.equal(stateName(after(...TO_LIVE, { type: 'bot-llm', on: true })), 'thinking');
});

test('a model that speaks before the relay is ready is seen to speak', () => {
  const connecting = [...TO_LIVE.slice(0, 2), /** @type {CallEvent} */ ({ type: 'bot-llm', on: true })];
  const owed = after(...connecting, { type: 'ready' });
  assert.equal(stateName(owed), 'thinking');
  assert.equal(owed.deadline, THINK_MS);
  assert.equal(after(...connecting).deadline, CONNECT_MS);
  assert.equal(stateName(after(...connecting, { type: 'bot-speaking', on: true })), 'connecting');
  assert.equal(stateName(after(...connecting, { type: 'bot-speaking', on: true }, { type: 'ready' })), 'speaking');
});

test('connecting fails at its deadline and not before', () => {
  const call = after({ type: 'start' }, { type: 'microphone' });
  assert.equal(step(call, { type: 'tick' }, CONNECT_MS - 1), call);
  const late = step(call, { type: 'tick' }, CONNECT_MS);
  assert.equal(late.phase, 'error');
  assert.equal(late.problem?.code, 'connect-timeout');
});

test('asking for the microphone has no deadline: people read', () => {
  const call = after({ type: 'start' });
  assert.equal(step(call, { type: 'tick' }, 1e9), call);
});

test('an overdue answer is remarked upon once, and the call goes on', () => {
  const call = after(...TO_LIVE, { type: 'typed' });
  const late = step(call, { type: 'tick' }, THINK_MS);
  assert.equal(late.late, true);
  assert.equal(stateName(late), 'listening');
  assert.equal(step(late, { type: 'tick' }, 10 * THINK_MS), late);
  assert.equal(step(late, { type: 'bot-speaking', on: true }, THINK_MS).late, false);
});

test('a silent answer ends thinking without a complaint', () => {
  const call = after(...TO_LIVE, { type: 'bot-llm', on: true }, { type: 'bot-llm', on: false });
  assert.equal(stateName(call), 'thinking');
  const done = step(call, { type: 'tick' }, VOICE_MS);
  assert.equal(stateName(done), 'listening');
  assert.equal(done.late, false);
});

test('a stalled path reconnects, recovers, and is given up at its deadline', () => {
  const call = after(...TO_LIVE, { type: 'stalled' });
  assert.equal(stateName(call), 'reconnecting');
  assert.equal(stateName(step(call, { type: 'recovered' }, 0)), 'listening');
  const lost = step(call, { type: 'tick' }, RECONNECT_MS);
  assert.equal(lost.problem?.code, 'connection-lost');
});

test('words that arrive while reconnecting do not move the deadline', () => {
  const call = after(...TO_LIVE, { type: 'stalled' }, { type: 'user-speaking', on: true }, { type: 'typed' });
  assert.equal(call.deadline, RECONNECT_MS);
  const back = step(call, { type: 'recovered' }, 1_000);
  assert.equal(step(back, { type: 'tick' }, 1_000 + THINK_MS).late, true, 'what was typed is owed an answer');
});

test('hanging up waits for the farewell, but not for ever', () => {
  const call = after(...TO_LIVE, { type: 'hangup' });
  assert.equal(stateName(call), 'ending');
  assert.equal(stateName(step(call, { type: 'left' }, 0)), 'ended');
  const alone = step(call, { type: 'tick' }, ENDING_MS);
  assert.equal(stateName(alone), 'ended');
  assert.equal(alone.problem, null);
});

test('a farewell that nobody asked for is explained', () => {
  assert.equal(after(...TO_LIVE, { type: 'left' }).problem?.code, 'left');
  const early = after({ type: 'start' }, { type: 'microphone' }, { type: 'left' });
  assert.deepEqual([early.phase, early.problem?.code], ['error', 'left-early']);
});

test('the reason of a fatal error survives the farewell that follows', () => {
  const problem = { code: 'relay-error', info: 'The connection to the model was lost.' };
  const call = after(...TO_LIVE, { type: 'fail', problem }, { type: 'left' });
  assert.deepEqual([call.phase, call.problem], ['error', problem]);
});

test('start again works from the end and from an error, with nothing left over', () => {
  const problem = { code: 'unreachable' };
  for (const call of [after(...TO_LIVE, { type: 'left' }), after({ type: 'start' }, { type: 'fail', problem })]) {
    assert.deepEqual(step(call, { type: 'start' }, 0), after({ type: 'start' }));
  }
});

test('mute is told in words and stops what was being heard', () => {
  const call = after(...TO_LIVE, { type: 'user-speaking', on: true }, { type: 'mute', on: true });
  assert.equal(stateName(call), 'listening');
  assert.equal(words(call), 'microphone muted');
});

test('a call by typing says so', () => {
  const call = after({ type: 'start', typing: true }, { type: 'microphone' }, { type: 'ready' });
  assert.equal(words(call), 'waiting for you to type');
});

test('every phase has words, and no event leads out of the table', () => {
  const phases = /** @type {(keyof typeof MOVES)[]} */ (Object.keys(MOVES));
  for (const phase of phases) {
    const call = { ...newCall(), phase };
    assert.ok(words(call).length > 3, phase);
    assert.equal(typeof isActive(call), 'boolean');
    assert.ok(!isLive(call) || isActive(call), phase);
    for (const to of Object.values(MOVES[phase])) assert.ok(phases.includes(to), to);
  }
});

test('talk before the call is live, or after it, changes nothing', () => {
  for (const call of [newCall(), after({ type: 'start' }), after(...TO_LIVE, { type: 'left' })]) {
    assert.equal(step(call, { type: 'user-speaking', on: true }, 0), call);
    assert.equal(step(call, { type: 'typed' }, 0), call);
  }
  for (const call of [newCall(), after(...TO_LIVE, { type: 'left' })]) {
    assert.equal(step(call, { type: 'mute', on: true }, 0), call);
  }
});

test('the microphone may be muted before the call connects, and stays so', () => {
  const early = after({ type: 'start' }, { type: 'mute', on: true }, { type: 'microphone' }, { type: 'ready' });
  assert.equal(early.muted, true);
  assert.equal(after({ type: 'start', typing: true }, { type: 'mute', on: true }).muted, false);
});

test('a call that was taken up elsewhere ends with that reason', () => {
  const call = after(...TO_LIVE, { type: 'left', code: 'replaced' });
  assert.equal(call.phase, 'ended');
  assert.deepEqual(call.problem, { code: 'replaced' });
});

test('a call that is over at the relay ends without a fault', () => {
  for (const code of ['call-over', 'idle', 'budget-call']) {
    const call = after(...TO_LIVE, { type: 'over', problem: { code } });
    assert.deepEqual([call.phase, call.problem], ['ended', { code }]);
  }
  assert.equal(after(...TO_LIVE, { type: 'hangup' }, { type: 'over', problem: { code: 'idle' } }).problem, null);
});

/** @type {CallEvent} */
const RETURN = { type: 'start', returning: true, muted: true };

test('a page that comes back says so, and is as muted as it was', () => {
  const call = after(RETURN, { type: 'microphone' });
  assert.equal(words(call), 'taking the call up again');
  assert.equal(call.muted, true);
  const back = step(call, { type: 'ready' }, 0);
  assert.deepEqual([back.returning, back.muted], [false, true]);
  assert.equal(after({ type: 'start', returning: true, muted: true, typing: true }).muted, false);
});

test('a call that may be there still can be taken up again, and no other', () => {
  const lost = step(after(...TO_LIVE, { type: 'stalled' }), { type: 'tick' }, RECONNECT_MS);
  const replaced = after(...TO_LIVE, { type: 'left', code: 'replaced' });
  const unheard = after(RETURN, { type: 'fail', problem: { code: 'microphone-refused' } });
  assert.deepEqual([lost, replaced, unheard].map(canReturn), [true, true, true]);
  const over = after(RETURN, { type: 'over', problem: { code: 'call-over' } });
  const never = after({ type: 'start' }, { type: 'fail', problem: { code: 'no-path' } });
  const left = after(...TO_LIVE, { type: 'hangup' }, { type: 'left' });
  assert.deepEqual([over, never, left, newCall(), after(...TO_LIVE)].map(canReturn), [false, false, false, false, false]);
});
