import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGAIN_MS, allowed, BEGIN_S, MOST } from '../../static/probe.js';
import { RECONNECT_MS } from '../../static/call.js';

/** When a system repeats the first packet of a connection, s after it: Linux before 6.5 and others, Linux since. */
const REPEATS = { doubled: [0, 1, 3, 7, 15, 31, 63], steady: [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67] };

/** The longest times between two packets that ask, s. @param {number[]} repeats @param {number} late so much begins each, s */
function longestGap(repeats, late) {
  const asked = BEGIN_S.flatMap((begin) => repeats.map((at) => at + begin + (begin && late))).sort((a, b) => a - b);
  const gaps = asked.filter((at) => at < RECONNECT_MS / 1_000).map((at, index) => (asked[index + 1] ?? Infinity) - at);
  return Math.max(...gaps);
}

test('for as long as the call is kept, some request asks every two seconds, whatever the dark swallows', () => {
  for (const late of [0, AGAIN_MS / 1_000]) assert.ok(longestGap(REPEATS.doubled, late) <= 2 + late);
});

test('where the system repeats more often, some request asks every second or so', () => {
  for (const late of [0, AGAIN_MS / 1_000]) assert.ok(longestGap(REPEATS.steady, late) <= 1.5 + late);
});

test('no more requests wait than a browser has connections for', () => {
  assert.deepEqual([0, 499, 500, 3_999, 4_000].map(allowed), [1, 1, 2, 2, 3]);
  assert.equal(allowed(1e9), MOST);
});
