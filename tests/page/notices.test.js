import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, BRIEF_MS, countdown, current, drop, notice, remark, STAY_MS } from '../../static/notices.js';

/** @typedef {import('../../static/notices.js').Notice} Notice */

/** @param {string} event @param {number} [now] @param {number|null} [seconds] @returns {Notice} */
function told(event, now = 0, seconds = null) {
  const made = notice(event, now, seconds);
  assert.ok(made, event);
  return made;
}

/** @param {Notice[]} notices */
const keys = (notices) => notices.map(({ key }) => key);

for (const event of [
  'reconnecting', 'resumed', 'memory-shortened', 'idle-warning', 'limit-warning', 'closing', 'slow-answer', 'mic-dead', 'missed',
  'path-lost', 'path-back', 'returned', 'late',
]) {
  test(`${event} has a sentence and a next step`, () => {
    assert.match(told(event).what, /^[A-Z][^…]+\.$/);
    assert.match(told(event).next, /^[A-Z].+\.$/);
  });
}

test('a warning says how much time is left, if it is known', () => {
  assert.match(told('limit-warning').what, /will end soon\.$/);
  assert.match(told('limit-warning', 0, 1).what, /will end in 1 second\.$/);
  assert.match(told('idle-warning', 0, 30).what, /will end in 30 seconds\.$/);
  assert.match(told('idle-warning', 0, 300).what, /will end in 5 minutes\.$/);
});

test('a warning stays until what it warns of, and counts down to it', () => {
  const warning = told('idle-warning', 1_000, 60);
  assert.deepEqual(current([warning], 60_999), [warning]);
  assert.deepEqual(current([warning], 61_000), []);
  assert.equal(countdown(warning.ends ?? 0, 1_000), '1:00');
  assert.equal(countdown(warning.ends ?? 0, 59_500), '0:02');
  assert.equal(countdown(warning.ends ?? 0, 99_000), '0:00');
});

test('only of the idle warning does a word of the caller make an end', () => {
  assert.equal(told('idle-warning').stillHere, true);
  assert.equal(told('limit-warning').stillHere, false);
});

test('what is broken stays on the page until it is mended, and good news are brief', () => {
  for (const [bad, good] of [['reconnecting', 'resumed'], ['path-lost', 'path-back'], ['reconnecting', 'memory-shortened']]) {
    const broken = add([], told(String(bad)));
    assert.deepEqual(keys(current(broken, 1e9)), [bad]);
    assert.deepEqual(keys(add(broken, told(String(good)))), [good]);
  }
  assert.deepEqual(current([told('resumed')], BRIEF_MS), []);
});

test('a passing remark covers what lasts, and uncovers it again', () => {
  const both = add([told('limit-warning', 0, 120)], remark({ what: 'No.', next: 'Try.' }, 0));
  assert.deepEqual(keys(both), ['limit-warning', 'remark']);
  assert.deepEqual(keys(current(both, STAY_MS)), ['limit-warning']);
});

test('what is told twice hangs once, and as the newest', () => {
  const twice = add(add(add([], told('mic-dead')), told('limit-warning')), told('mic-dead', 5));
  assert.deepEqual(keys(twice), ['limit-warning', 'mic-dead']);
});

test('what is withdrawn is gone, and nothing changes where there was nothing', () => {
  const notices = [told('idle-warning')];
  assert.deepEqual(drop(notices, 'idle-warning'), []);
  assert.equal(drop(notices, 'late'), notices);
  assert.equal(current(notices, 0), notices);
});

test('an event that the page does not know is passed over', () => {
  for (const event of ['', 'next-year’s', 'constructor', '__proto__', 'cost']) assert.equal(notice(event, 0), null);
});
